"""Finds the rungs that are due, and sends an alert for each once."""
