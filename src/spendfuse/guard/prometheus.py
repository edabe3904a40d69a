"""Prometheus metrics of the guard: budgets in dollars, refusals, and how the guard itself is.

There is no user label: of a ``per`` budget only the refusals are shown. The counts are this
process's, and prometheus_client's multiprocess mode does not add them up: there, scrape each
process. The amounts are the store's, the same in each.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from spendfuse.guard.guard import Guard
from spendfuse.guard.health import BudgetGauge, GuardHealth
from spendfuse.metering.forks import renew_after_fork
from spendfuse.money import NANO_PER_USD

logger = logging.getLogger(__name__)

MAX_WAIT_SECONDS = 1.0
"""For the store and the ledger: after it, a scrape goes out without the budgets' amounts."""
_AMOUNTS: tuple[tuple[str, str, Callable[[BudgetGauge], int | None]], ...] = (
    ("limit", "Limit of the budget in its period.", lambda each: each.limit_nano_usd),
    ("spent", "Spent in the budget's period, as the guard counts.", lambda e: e.spent_nano_usd),
    ("held", "Held for requests that still run.", lambda each: each.held_nano_usd),
    (
        "drift",
        "What the guard has counted and the ledger has not; negative the other way round.",
        lambda each: each.drift_nano_usd,
    ),
)


class GuardCollector(Collector):
    """Tells of one guard, which is asked at each scrape. A registry takes one.

    Args:
        guard: whose figures are shown.
        max_wait_seconds: for the store and the ledger, at each scrape.

    Example:
        >>> prometheus_client.REGISTRY.register(GuardCollector(guard))  # doctest: +SKIP
    """

    def __init__(self, guard: Guard, *, max_wait_seconds: float = MAX_WAIT_SECONDS) -> None:
        self._guard = guard
        self._max_wait_seconds = max_wait_seconds
        self._begin()
        renew_after_fork(self._begin)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._question: _Question | None = None

    def describe(self) -> Iterable[Metric]:
        """Return the metrics without values, so that nothing is asked at the start."""
        return [*_amounts([]), *_fuse(None), *_counts(GuardHealth())]

    def collect(self) -> Iterable[Metric]:
        """Return the metrics; without amounts where they can't be had in time. Raises nothing."""
        asked = self._asked()
        counts = _counts(self._guard.health())
        return [*_amounts(asked.gauges), *_fuse(asked.is_tripped), *counts]

    def _asked(self) -> _Question:
        with self._lock:
            # A store that hangs is asked by one thread, however often it is scraped.
            if self._question is None or self._question.is_answered.is_set():
                self._question = _Question(self._guard)
            question = self._question
        question.is_answered.wait(self._max_wait_seconds)
        return question


class _Question:
    """The guard is asked for fuse and gauges, in a thread that nobody has to wait for."""

    def __init__(self, guard: Guard) -> None:
        self.gauges: Sequence[BudgetGauge] = ()
        self.is_tripped: bool | None = None
        """None where there is no fuse, or no answer yet."""
        self.is_answered = threading.Event()
        self._guard = guard
        try:
            threading.Thread(target=self._ask, name="spendfuse gauges", daemon=True).start()
        except RuntimeError:  # no more threads, or the interpreter ends
            self.is_answered.set()

    def _ask(self) -> None:
        try:
            fuse = self._guard.fuse_state()
            self.is_tripped = None if fuse is None else fuse.state == "tripped"
            self.gauges = self._guard.gauges()
        except Exception as error:  # the scrape goes out, whatever it is
            logger.warning("the amounts of the budgets can't be shown: %s", error)
            logger.debug("the error behind it", exc_info=True)
        finally:
            self.is_answered.set()


def _amounts(gauges: Sequence[BudgetGauge]) -> list[Metric]:
    families: list[Metric] = []
    for name, meaning, nano_usd_of in _AMOUNTS:
        family = GaugeMetricFamily(f"llm_budget_{name}_dollars", meaning, labels=["budget"])
        for each in gauges:
            nano = nano_usd_of(each)
            # What is not known is no zero.
            if nano is not None:
                family.add_metric([each.budget], nano / NANO_PER_USD)
        families.append(family)
    return families


def _fuse(is_tripped: bool | None) -> list[Metric]:  # noqa: FBT001
    family = GaugeMetricFamily(
        "llm_guard_fuse_tripped", "1 while the fuse is tripped: every request is refused."
    )
    if is_tripped is not None:
        family.add_metric([], is_tripped)
    return [family]


def _counts(health: GuardHealth) -> list[Metric]:
    refused = CounterMetricFamily(
        "llm_budget_refused",
        "Requests that were refused, by the budget, rate or fuse that did, and why.",
        labels=["budget", "reason"],
    )
    for (reason, budget), count in health.refused.items():
        refused.add_metric([budget, reason], count)
    over = CounterMetricFamily(
        "llm_budget_observed_over",
        "Requests that a budget had no room for, and let through because it only observes.",
        labels=["budget"],
    )
    for budget, count in health.observed_over.items():
        over.add_metric([budget], count)
    return [
        refused,
        over,
        CounterMetricFamily(
            "llm_guard_store_failures",
            "Steps that the store could not take.",
            health.store_failures,
        ),
        CounterMetricFamily(
            "llm_guard_fuse_unreadable",
            "Reads of the fuse's state that failed; the last known state held.",
            health.fuse_unreadable,
        ),
    ]
