"""What did this call cost? Usage, price book, meter, middleware, sinks.

The names that apps use. Vendors are loaded by the file named for them, when it is asked for.
"""

from spendfuse.metering.asgi import UsageMiddleware
from spendfuse.metering.attribution import attributed
from spendfuse.metering.decorator import track_llm_cost
from spendfuse.metering.default_tracker import set_default_tracker
from spendfuse.metering.price_book import PriceBook, PriceError, UnknownModelError
from spendfuse.metering.record import Record
from spendfuse.metering.reporting import report_usage
from spendfuse.metering.settings import tracker_from_env
from spendfuse.metering.sinks import open_sinks
from spendfuse.metering.tracker import CostTracker
from spendfuse.metering.usage import Usage, UsageError

__all__ = [
    "CostTracker",
    "PriceBook",
    "PriceError",
    "Record",
    "UnknownModelError",
    "Usage",
    "UsageError",
    "UsageMiddleware",
    "attributed",
    "open_sinks",
    "report_usage",
    "set_default_tracker",
    "track_llm_cost",
    "tracker_from_env",
]
