"""An app's way in: joins guard, meter, ledger and fuse as the environment says."""
