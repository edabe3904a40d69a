"""The guard: asks the store before a request is made, and tells it afterwards what it cost."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any

from spendfuse.budget import Budget, Limits
from spendfuse.clock import utc_now
from spendfuse.errors import SettingsError, SpendfuseError, UnavailableError
from spendfuse.fuse_state import FuseState
from spendfuse.guard.asking import Asked, Asking, Attribute, checked_id, current_tree, levels_of
from spendfuse.guard.errors import (
    BudgetFigures,
    FuseTrippedError,
    GuardDownError,
    RefusedError,
)
from spendfuse.guard.estimate import LEAST_TOKENS, Dollars, Estimator, amount_nano_usd
from spendfuse.guard.health import BudgetGauge, Counts, GuardHealth
from spendfuse.guard.last_known import LastKnown
from spendfuse.guard.memory import MemoryStore
from spendfuse.guard.refusal import figures, overdrawn, refusal
from spendfuse.guard.reservation import Reservation, Reserving
from spendfuse.guard.seeded import LedgerDownError, SeededStore, Spent
from spendfuse.guard.settling import Settling
from spendfuse.guard.step import Granted, Hold, Refused, Settled, room
from spendfuse.guard.store import Store
from spendfuse.guard.tree import BudgetTree
from spendfuse.guard.workers import Workers
from spendfuse.metering.estimate import DEFAULT_MAX_TOKENS
from spendfuse.metering.price_book import PriceBook
from spendfuse.metering.said_once import SaidOnce
from spendfuse.money import display_usd

logger = logging.getLogger(__name__)
LimitsSource = Limits | Sequence[Budget] | Callable[[], Limits]
HOLD_SECONDS = 600.0


class Guard:
    """Reserves money for requests; safe to share between threads and tasks.

    Every budget that matches a request's attributes is charged: those given, those of
    ``attributed()`` around it, and ``model`` and ``provider``. Users are counted by their real
    ids, hashed in the counters' names; pseudonyms are the tracker's affair.

    Args:
        limits: budgets, or ``Limits``, or a function that returns the limits in force; it is
            asked for every request, so it must be quick.
        store: where the counters are; by default in this process.
        prices: for estimates by model and prompt; by default the installed price book, opened
            when it is first needed, which takes half a second.
        spent: what the ledger says, for counters that the store does not have (any more).
        fuse: the fuse's state; while it is tripped, everything is refused.
        hold_seconds: after this time a hold ends by itself.
        default_max_tokens: output that is assumed of a call without ``max_tokens``.
        max_output_tokens: the most that a model can put out, by model.
        least_tokens: a ``fit`` budget lowers no call below this much output.
        now: the time, aware.

    Example:
        >>> from spendfuse.budget import Budget
        >>> guard = Guard([Budget("all", 100 * 10**9, "month")])
        >>> with guard.reserve("0.05", user="u-17") as held:
        ...     held.settle("0.0123")
    """

    def __init__(
        self,
        limits: LimitsSource,
        *,
        store: Store | None = None,
        prices: PriceBook | None = None,
        spent: Spent | None = None,
        fuse: Callable[[], FuseState] | None = None,
        hold_seconds: float = HOLD_SECONDS,
        default_max_tokens: int = DEFAULT_MAX_TOKENS,
        max_output_tokens: Mapping[str, int] | None = None,
        least_tokens: int = LEAST_TOKENS,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        if not hold_seconds > 0:
            raise SettingsError(f"hold_seconds must be above 0, got {hold_seconds}")
        read = _source(limits)
        first = read()
        self._limits = LastKnown("the limits", read, first)
        self._tree = BudgetTree(first)
        self._fuse = None if fuse is None else LastKnown("the fuse", fuse, FuseState(""))
        self._store = MemoryStore() if store is None else store
        self._counts = Counts()
        self._seeded = SeededStore(self._store, spent, self._counts, hold_seconds=hold_seconds)
        self._workers = Workers()
        self.settling = Settling(
            self._seeded, self._counts, self._workers, is_local=self._store.is_local
        )
        estimator = Estimator(
            prices,
            default_max_tokens=default_max_tokens,
            max_output_tokens=max_output_tokens,
            least_tokens=least_tokens,
        )
        self._asking = Asking(
            estimator, hold_seconds=hold_seconds, now=now, seeds=self._seeded.seeds
        )
        self._now = now
        self._said_once = SaidOnce()

    def reserve(
        self,
        estimate_usd: Dollars | None = None,
        *,
        model: str = "",
        provider: str = "",
        prompt: object = None,
        max_tokens: int | None = None,
        tier: str | None = None,
        batch: bool = False,
        hold_id: str | None = None,
        **attributes: Attribute,
    ) -> Reservation:
        """Hold an estimate on every budget that applies, or on none.

        Args:
            estimate_usd: dollars; or leave it out and give ``model`` and ``prompt``.
            model: what will be called; budgets match on it.
            provider: where the model's name does not tell.
            prompt: a text or messages, or the number of input tokens.
            max_tokens: the limit on output that the call will carry. None: the smaller of the
                model's maximum and the default; send the reservation's ``max_tokens``.
            tier: flex, priority or fast.
            batch: through the provider's batch interface.
            hold_id: the same id again gives the same answer and holds nothing more.
            **attributes: user, team, feature, …, over those of ``attributed()``.

        Raises:
            BudgetExceededError: it does not fit.
            RateExceededError: it would be too many dollars within a minute.
            FuseTrippedError: the fuse is tripped.
            GuardDownError: the store can't be reached, and a budget refuses then.
            UnknownModelError: the price book does not know the model.
            ReservationError: the id is used already, for something else.
            InputError: an amount, an attribute or a number of tokens can't be.
        """
        self.check_fuse()
        asked = self._asking.asked(
            self._current_tree(),
            estimate_usd,
            attributes,
            model=model,
            provider=provider,
            prompt=prompt,
            max_tokens=max_tokens,
            tier=tier,
            batch=batch,
            hold_id=hold_id,
        )
        return self._reservation(asked, self._ask(asked))

    async def reserve_async(self, estimate_usd: Dollars | None = None, **call: Any) -> Reservation:
        """Reserve without keeping the event loop waiting; arguments and errors as ``reserve``.

        Where the task is cancelled meanwhile, nothing stays held.
        """
        work = partial(self.reserve, estimate_usd, **call)
        if not self._would_wait(opens_book=estimate_usd is None):
            return work()
        return await self._workers.run(work, undo=_take_back)

    def reserving(self, estimate_usd: Dollars | None = None, **call: Any) -> Reserving:
        """Return what reserves when it is entered, by ``with`` or ``async with``."""
        return Reserving(self, {"estimate_usd": estimate_usd, **call})

    def settle(self, reservation: Reservation | str, cost_usd: Dollars) -> Settled:
        """Charge what a request really cost; by its bare id, from another process too.

        Raises:
            ReservationError: nobody knows the id, or it was settled with another amount; nothing
                was counted.
            UnavailableError: the store can't be reached; the same call again counts once.
        """
        nano = amount_nano_usd(cost_usd)
        if not isinstance(reservation, Reservation):
            return self.settling.charge(self.settling.find(checked_id(reservation)), nano)
        reservation.wants(nano)
        settled = self.settling.charge(reservation.hold, nano)
        reservation.told()
        return settled

    async def settle_async(self, reservation: Reservation | str, cost_usd: Dollars) -> Settled:
        """Charge what a request cost, even if the task is cancelled meanwhile."""
        if self._store.is_local:
            return self.settle(reservation, cost_usd)
        return await self._workers.finish(partial(self.settle, reservation, cost_usd))

    def release(self, reservation: Reservation | str) -> bool:
        """Let go of a reservation, nothing charged; False if it was gone or settled already.

        Raises:
            ReservationError: nobody knows the id.
            UnavailableError: the store can't be reached.
        """
        if not isinstance(reservation, Reservation):
            return self.settling.release(self.settling.find(checked_id(reservation)))
        reservation.wants(None)
        is_released = self.settling.release(reservation.hold)
        reservation.told()
        return is_released

    async def release_async(self, reservation: Reservation | str) -> bool:
        """Let go of a reservation, even if the task is cancelled meanwhile."""
        if self._store.is_local:
            return self.release(reservation)
        return await self._workers.finish(partial(self.release, reservation))

    def check_fuse(self) -> None:
        """Ask the fuse alone.

        Raises:
            FuseTrippedError: it is tripped.
        """
        if self._fuse is not None:
            state = self._fuse()
            if state.state == "tripped":
                raise self._counted(
                    FuseTrippedError(state.fuse, trip_id=state.trip_id, since=state.since)
                )

    async def check_fuse_async(self) -> None:
        """Ask the fuse without keeping the event loop waiting."""
        if self._fuse is not None and self._fuse.would_wait():
            await self._workers.finish(self.check_fuse)
        else:
            self.check_fuse()

    def check(self, **attributes: Attribute) -> list[BudgetFigures]:
        """Return how the budgets of such a request stand, holding nothing.

        Raises:
            UnavailableError: the store, or the ledger for a missing counter, can't be asked.
        """
        levels = levels_of(self._current_tree(), attributes, self._now()).budgets
        return [
            figures(level, standing, is_short=room(level, standing) <= 0)
            for level, standing in zip(levels, self._seeded.standings(levels), strict=True)
        ]

    def health(self) -> GuardHealth:
        """Return what this guard has done."""
        return self._counts.health(
            fuse_unreadable=0 if self._fuse is None else self._fuse.failures,
            limits_unreadable=self._limits.failures,
        )

    def gauges(self) -> list[BudgetGauge]:
        """Return how the budgets stand that are not ``per`` anything: for metrics.

        It asks the store once, and the ledger for each budget.
        """
        tree, now = self._current_tree(), self._now()
        levels = [tree.level(each, "", now) for each in tree.limits.budgets if each.per is None]
        return self._seeded.gauges(levels)

    def close(self) -> None:
        """Wait for what runs, and let go of threads and connections."""
        self._workers.close()
        self._store.close()

    def _current_tree(self) -> BudgetTree:
        tree = self._tree = current_tree(self._tree, self._limits())
        return tree

    def _would_wait(self, *, opens_book: bool) -> bool:
        return (
            not self._store.is_local
            or self._seeded.asks_ledger
            or (opens_book and not self._asking.estimator.is_open)
            or self._limits.would_wait()
            or (self._fuse is not None and self._fuse.would_wait())
        )

    def _ask(self, asked: Asked) -> Granted:
        """Return what the store grants, or raise why it does not."""
        try:
            outcome = self._seeded.reserve(asked.step)
        except LedgerDownError as error:
            raise self._counted(GuardDownError(error.level.budget, "the ledger is down")) from error
        except UnavailableError as error:
            self._counts.add("store_failures")
            raise self._counted(_down(asked)) from error
        if isinstance(outcome, Refused):
            raise self._counted(refusal(asked.step, outcome, at=asked.at))
        return outcome

    def _counted(self, error: RefusedError) -> RefusedError:
        self._counts.refuse(error)
        return error

    def _reservation(self, asked: Asked, granted: Granted) -> Reservation:
        hold, call = granted.hold, asked.call
        max_tokens, is_lowered = asked.max_tokens, False
        if call is not None and hold.nano_usd < asked.step.nano_usd:
            max_tokens, is_lowered = call.tokens_within(hold.nano_usd), True
            self._say_lowered(asked, hold, max_tokens)
        over: tuple[BudgetFigures, ...] = ()
        if asked.levels.observes:
            over = overdrawn(hold.levels, granted.standings, hold.nano_usd)
        if not granted.is_again:
            self._counts.add("reserved")
            self._say_over(over)
        return Reservation(
            self,
            hold,
            call=call,
            max_tokens=max_tokens,
            is_lowered=is_lowered,
            observed=over,
            is_again=granted.is_again,
        )

    def _say_lowered(self, asked: Asked, hold: Hold, max_tokens: int) -> None:
        self._counts.add("lowered")
        logger.info(
            "reservation %s: max_tokens lowered from %s to %d, which cost the %s that are left",
            hold.id,
            asked.max_tokens,
            max_tokens,
            display_usd(hold.nano_usd),
        )

    def _say_over(self, over: Sequence[BudgetFigures]) -> None:
        for each in over:
            self._counts.observe(each.budget)
            if self._said_once.is_new(f"{each.budget} {each.period}"):
                logger.warning(
                    "budget %s has no room for a request in %s, and only observes: it passes "
                    "(logged once a period, counted always)",
                    each.budget,
                    each.period,
                )


def _take_back(reservation: Reservation) -> None:
    """Release what a cancelled task reserved; an earlier attempt's hold is not its own."""
    if not reservation.is_again:
        with suppress(SpendfuseError):
            reservation.release()


def _down(asked: Asked) -> GuardDownError:
    levels = asked.step.levels
    closed = [each.budget for each in levels if each.when_down == "fail_closed"]
    # Its reason goes to clients: which host it is, the log says.
    return GuardDownError(
        next(iter(closed or [each.budget for each in levels]), "-"), "its counters can't be reached"
    )


def _source(limits: LimitsSource) -> Callable[[], Limits]:
    if callable(limits):
        return limits
    fixed = limits if isinstance(limits, Limits) else Limits(tuple(limits))
    names = [each.name for each in fixed.budgets]
    twice = sorted({each for each in names if names.count(each) > 1})
    if twice:
        raise SettingsError(f"budgets of one name share a counter: {', '.join(twice)}")
    return lambda: fixed
