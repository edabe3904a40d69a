"""The deployed ledger, as the demo checks it: read straight from its table."""

from __future__ import annotations

import time
from dataclasses import dataclass

from spendfuse.errors import UnavailableError
from spendfuse.sandbox.demo.stage import Deployed

_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Counted:
    nano_usd: int
    requests: int


def counted(deployed: Deployed, budget: str, *periods: str) -> Counted:
    """Return what the budget has counted in the periods together."""
    client, table = deployed.sandbox.client("dynamodb"), deployed.outputs["LedgerTableName"]
    nano_usd = requests = 0
    for period in periods:
        key = {"pk": {"S": f"budget#{budget}#{period}"}, "sk": {"S": "total"}}
        item = client.get_item(TableName=table, Key=key, ConsistentRead=True).get("Item")
        if item:
            nano_usd += int(item["nano_usd"]["N"])
            requests += int(item["requests"]["N"])
    return Counted(nano_usd, requests)


def wait_until_counted(
    deployed: Deployed, budget: str, *periods: str, requests: int, timeout_seconds: float
) -> Counted:
    """Wait until the ledger has counted so many requests, and return what it then has.

    Raises:
        UnavailableError: it has not, within the time.
    """
    deadline = time.monotonic() + timeout_seconds
    while (now := counted(deployed, budget, *periods)).requests < requests:
        if time.monotonic() > deadline:
            raise UnavailableError(
                f"the ledger has {now.requests} of {requests} requests "
                f"after {timeout_seconds:.0f} s"
            )
        time.sleep(_POLL_SECONDS)
    return now
