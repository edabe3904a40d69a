"""What did a provider say that a call used? Its answer's counts, in our one shape."""

from spendfuse.metering.responses.counting import usage_from
from spendfuse.metering.responses.reading import read_response
from spendfuse.metering.responses.response import Response
from spendfuse.metering.responses.streams import StreamUsage

__all__ = ["Response", "StreamUsage", "read_response", "usage_from"]
