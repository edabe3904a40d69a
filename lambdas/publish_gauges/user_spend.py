"""Who spent it, as lines of the function's log: a user is never a metric's dimension.

Written when shares are folded, so each dollar stands in one line (in two, where a fold was cut
short). ``docs/metrics.md`` has the query that adds them up.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from spendfuse.ledger.counters import Delta
from spendfuse.ledger.tally import ShareKey
from spendfuse.money import usd

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)

_MOST = 100
"""Lines a fold; whoever spent less is left out here, and counted in the books all the same."""


def log_user_spend(shares: Mapping[ShareKey, Delta], budget: str) -> None:
    """Log what the dearest users of the budget spent, a line each.

    Args:
        shares: what a fold took, of all budgets.
        budget: the one that counts everything, or dollars would be counted once a budget.
    """
    of_users = [
        (key, delta) for key, delta in shares.items() if key.budget == budget and key.by == "user"
    ]
    of_users.sort(key=lambda each: (-each[1].nano_usd, each[0]))
    for key, delta in of_users[:_MOST]:
        # Lambda writes these beside the message, as fields that Logs Insights finds.
        fields = {
            "kind": "user_spend",
            "user": key.value,
            # For people and their charts: the books have it to the nano-dollar.
            "usd": float(usd(delta.nano_usd)),
            "requests": delta.requests,
            "budget": key.budget,
            "period": key.period,
        }
        logger.info("spend by user", extra=fields)
