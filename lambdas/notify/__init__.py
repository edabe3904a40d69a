"""Tells people: alerts of any shape in, Slack and e-mail out."""
