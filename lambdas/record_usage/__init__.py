"""Counts packs of usage from the usage queue in the ledger, each once."""
