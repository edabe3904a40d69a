"""Stop it, and undo it: plans, trips and restores of API keys."""
