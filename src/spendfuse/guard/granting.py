"""Asks the store for a request's money, and reports what was granted, lowered or refused."""

from __future__ import annotations

import logging
from datetime import datetime

from spendfuse.errors import UnavailableError
from spendfuse.guard.errors import BudgetFigures, RefusedError
from spendfuse.guard.estimate import CallEstimate
from spendfuse.guard.health import Counts
from spendfuse.guard.refusal import down, overdrawn, refusal
from spendfuse.guard.seeded import LedgerDownError, SeededStore
from spendfuse.guard.step import Granted, Refused, Reserve, Unseeded
from spendfuse.guard.store import Store
from spendfuse.metering.said_once import SaidOnce
from spendfuse.money import display_usd

logger = logging.getLogger(__name__)


class Granting:
    """The guard's way to a hold.

    Args:
        store: where the counters are.
        seeded: the same one, for a step whose counters are missing.
        counts: what is counted on the way.
    """

    def __init__(self, store: Store, seeded: SeededStore, counts: Counts) -> None:
        self._store = store
        self._seeded = seeded
        self._counts = counts
        self._said_once = SaidOnce()

    def granted(self, step: Reserve, at: datetime) -> Granted:
        """Return what the store grants.

        Raises:
            RefusedError: why it does not.
        """
        refused: RefusedError
        try:
            outcome = self._store.reserve(step)
            if isinstance(outcome, Unseeded):
                step, outcome = self._seeded.reserve(step, outcome)
            if isinstance(outcome, Unseeded):
                raise UnavailableError("the store forgets its counters")
        except UnavailableError as error:
            if not isinstance(error, LedgerDownError):
                self._counts.add("store_failures")
            refused = down(step, error)
            self._counts.refuse(refused)
            raise refused from error
        if isinstance(outcome, Refused):
            refused = refusal(step, outcome, at=at)
            self._counts.refuse(refused)
            raise refused
        if not outcome.is_again:
            self._counts.add("reserved")
        return outcome

    def lowered(self, granted: Granted, call: CallEstimate) -> int:
        """Return the ``max_tokens`` that the granted amount pays for, and say so."""
        lowered = call.tokens_within(granted.hold.nano_usd)
        if not granted.is_again:
            self._counts.add("lowered")
        logger.info(
            "reservation %s: max_tokens lowered from %s to %d, for %s are left",
            granted.hold.id,
            call.max_tokens,
            lowered,
            display_usd(granted.hold.nano_usd),
        )
        return lowered

    def observed(self, granted: Granted) -> tuple[BudgetFigures, ...]:
        """Return the observing budgets that it does not fit into, and report them."""
        over = overdrawn(granted)
        for each in () if granted.is_again else over:
            self._counts.observe(each.budget)
            if self._said_once.is_new(f"{each.budget} {each.period}"):
                logger.warning(
                    "budget %s has no room for a request in %s, and only observes: it passes "
                    "(logged once a period, counted always)",
                    each.budget,
                    each.period,
                )
        return over
