"""Where records go: one file a sink, and its line in the table."""
