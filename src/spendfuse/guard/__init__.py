"""May this call happen? Budgets that are checked before the money is spent."""
