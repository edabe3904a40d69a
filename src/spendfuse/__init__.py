"""A fuse for the LLM bill of teams on AWS.

Importing this package loads no vendor library; each room imports what it needs.
"""

__version__ = "0.1.0"
