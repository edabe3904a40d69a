"""What did a provider say that a call used? Its answer's counts, in our one shape."""

from spendfuse.metering.responses.counting import usage_from

__all__ = ["usage_from"]
