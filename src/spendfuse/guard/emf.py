"""CloudWatch gauges of the budgets as log lines: the Embedded Metric Format, a line a budget.

In a Lambda, standard output is enough; elsewhere the CloudWatch agent or a log driver carries the
lines. Each budget is four metrics, so there is no line for the users of a ``per`` budget.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import TextIO

from spendfuse.clock import utc_now
from spendfuse.guard.guard import Guard
from spendfuse.guard.health import BudgetGauge
from spendfuse.metering.sinks.emf import NAMESPACE, dimension_value, metrics_directive
from spendfuse.metering.sinks.lines import LineStream, standard_output
from spendfuse.money import usd_text

logger = logging.getLogger(__name__)

DIMENSION = "budget"
UNIT = "None"
"""CloudWatch has no unit for dollars."""


def emit_gauges(
    guard: Guard,
    stream: TextIO | None = None,
    *,
    namespace: str = NAMESPACE,
    now: Callable[[], datetime] = utc_now,
) -> bool:
    """Write a line for each budget that is not ``per`` anything, by default to standard output.

    Call it once a minute, or at the end of a Lambda's invocation. It waits for the store and for
    the ledger. Returns whether all is written; an error is logged and not raised.
    """
    try:
        writer = LineStream(standard_output() if stream is None else stream)
        for each in guard.gauges():
            writer.write(gauge_line(each, at=now(), namespace=namespace))
    except Exception as error:  # an app's timer goes on, whatever it is
        logger.warning("the gauges of the budgets can't be written: %s", error)
        logger.debug("the error behind it", exc_info=True)
        return False
    return True


def gauge_line(gauge: BudgetGauge, *, at: datetime, namespace: str = NAMESPACE) -> bytes:
    """Return a budget's line, its end included; what is not known is left out."""
    amounts = {
        "BudgetLimit": gauge.limit_nano_usd,
        "BudgetSpent": gauge.spent_nano_usd,
        "BudgetHeld": gauge.held_nano_usd,
        "BudgetDrift": gauge.drift_nano_usd,
    }
    known = {name: usd_text(nano) for name, nano in amounts.items() if nano is not None}
    directive = metrics_directive(namespace, [[DIMENSION]], dict.fromkeys(known, UNIT))
    values = ",".join(f'"{name}":{dollars}' for name, dollars in known.items())
    return (
        f'{{"_aws":{{"Timestamp":{round(at.timestamp() * 1000)},{directive}}},'
        f'"{DIMENSION}":{dimension_value(gauge.budget)},"period":"{gauge.period}",{values}}}\n'
    ).encode()
