"""Where the guard counts: one file a store, and what only that store needs."""
