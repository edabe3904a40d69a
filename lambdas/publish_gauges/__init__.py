"""Shows the ledger in CloudWatch, a minute at a time."""
