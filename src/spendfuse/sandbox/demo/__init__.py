"""The demo: an app that overspends, from the first alert to the key that works again."""
