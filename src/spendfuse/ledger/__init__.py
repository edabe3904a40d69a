"""What was spent? Packs of usage in; totals, counted once, and the rungs they make due."""
