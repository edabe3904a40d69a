"""A process borrows slices of budgets from a shared store, and decides by itself."""
