"""Blows the fuse: from an order in the queue to disabled keys and a report."""
