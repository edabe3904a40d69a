"""AWS on this machine: the same templates, zips and roles, without an account or Docker."""
