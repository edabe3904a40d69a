"""Why a request was not let through, with all that its sender needs to know.

* RefusedError: not now; ``body()`` is what an HTTP client reads, ``status_code`` its status
  * BudgetExceededError, RateExceededError (429)
  * FuseTrippedError, GuardDownError (503)
* ReservationError: a mistake in the program; the counters are untouched
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from spendfuse.clock import utc_text
from spendfuse.errors import InputError, SpendfuseError
from spendfuse.money import display_usd, usd


class ReservationError(InputError):
    """An id is unknown, used for something else, or settled with another amount."""


class RefusedError(SpendfuseError):
    """A request that may not happen now. Nothing was held, and nothing was sent."""

    status_code = 429
    kind = "refused"
    retry_after_seconds: int | None = None
    """None where waiting does not help."""

    def body(self) -> dict[str, Any]:
        """Return the JSON body of the answer; amounts are dollars as text."""
        return {"error": self.kind, "message": str(self)}

    def __reduce__(self) -> tuple[Any, ...]:
        # An exception is made again from its text alone, which breaks a pool of processes in
        # whose worker a request was refused.
        return _made_again, (type(self), self.args, vars(self))


def _made_again(
    kind: type[RefusedError], args: tuple[Any, ...], state: dict[str, Any]
) -> RefusedError:
    refused = kind.__new__(kind, *args)
    vars(refused).update(state)
    return refused


@dataclass(frozen=True, slots=True)
class BudgetFigures:
    """One budget that a request is charged to, as the guard sees it."""

    budget: str
    value: str
    """The user, say, of a ``per: user`` budget; empty otherwise."""
    period: str
    limit_nano_usd: int
    spent_nano_usd: int
    held_nano_usd: int
    """For requests that still run, this one not among them."""
    resets_at: datetime | None
    """When the period ends; None for a total."""
    is_short: bool = False
    """Whether this budget refused, or would have if it did not only observe."""

    def to_json(self, *, asked_nano_usd: int | None = None) -> dict[str, Any]:
        """Return it as it stands in an answer's body."""
        asked = {} if asked_nano_usd is None else {"asked_usd": _text(asked_nano_usd)}
        return {
            "budget": self.budget,
            **({"for": self.value} if self.value else {}),
            "period": self.period,
            "limit_usd": _text(self.limit_nano_usd),
            "spent_usd": _text(self.spent_nano_usd),
            "held_usd": _text(self.held_nano_usd),
            **asked,
            "resets_at": utc_text(self.resets_at) if self.resets_at else None,
        }


class BudgetExceededError(RefusedError):
    """The request does not fit into a budget any more."""

    kind = "budget_exceeded"

    def __init__(
        self,
        figures: BudgetFigures,
        asked_nano_usd: int,
        *,
        retry_after_seconds: int | None,
        budgets: Sequence[BudgetFigures] = (),
    ) -> None:
        self.figures = figures
        """The budget that refused; of several, the strictest."""
        self.asked_nano_usd = asked_nano_usd
        self.retry_after_seconds = retry_after_seconds
        self.budgets = tuple(budgets)
        """All that the request is charged to."""
        super().__init__(
            f"budget {figures.budget}{_whose(figures.value)}: {_shortfall(figures, asked_nano_usd)}"
            f"; {self._advice()}"
        )

    def _advice(self) -> str:
        figures, asked = self.figures, self.asked_nano_usd
        spent, limit = figures.spent_nano_usd, figures.limit_nano_usd
        if self.retry_after_seconds is None:
            never = asked > limit
            return "it never fits: ask for less" if never else "no room until a limit is raised"
        # A fit budget takes less than was asked, so it may be asked for more than its limit.
        if spent + asked <= limit or figures.resets_at is None or spent < limit < asked:
            return "it may fit when some of those have ended"
        return f"the budget starts anew on {figures.resets_at:%Y-%m-%d at %H:%M} UTC"

    def body(self) -> dict[str, Any]:
        return {
            **super().body(),
            **self.figures.to_json(asked_nano_usd=self.asked_nano_usd),
            "budgets": [each.to_json() for each in self.budgets],
        }


class RateExceededError(RefusedError):
    """The request would be too many dollars within a minute."""

    kind = "rate_exceeded"

    def __init__(
        self,
        rate: str,
        value: str,
        nano_usd_per_minute: int,
        asked_nano_usd: int,
        *,
        retry_after_seconds: int | None,
    ) -> None:
        self.rate = rate
        self.value = value
        self.nano_usd_per_minute = nano_usd_per_minute
        self.asked_nano_usd = asked_nano_usd
        self.retry_after_seconds = retry_after_seconds
        advice = (
            "it never fits: ask for less"
            if retry_after_seconds is None
            else f"try again in {retry_after_seconds} s"
        )
        super().__init__(
            f"rate {rate}{_whose(value)}: {display_usd(asked_nano_usd)} is asked for, which does "
            f"not fit into {display_usd(nano_usd_per_minute)} a minute; {advice}"
        )

    def body(self) -> dict[str, Any]:
        return {
            **super().body(),
            "rate": self.rate,
            **({"for": self.value} if self.value else {}),
            "limit_usd_per_minute": _text(self.nano_usd_per_minute),
            "asked_usd": _text(self.asked_nano_usd),
        }


class FuseTrippedError(RefusedError):
    """The fuse is tripped: nothing is sent until somebody restores it."""

    status_code = 503
    kind = "fuse_tripped"

    def __init__(self, fuse: str, *, trip_id: str | None, since: datetime | None) -> None:
        self.fuse = fuse
        self.trip_id = trip_id
        self.since = since
        when = f" since {utc_text(since)}" if since else ""
        super().__init__(
            f"the fuse {fuse} is tripped{when}; no LLM call is made until it is restored "
            "(spendfuse fuse status)"
        )

    def body(self) -> dict[str, Any]:
        since = utc_text(self.since) if self.since else None
        return {**super().body(), "fuse": self.fuse, "trip_id": self.trip_id, "since": since}


class GuardDownError(RefusedError):
    """The guard can't reach its store, and a budget refuses then: see its ``when_down``.

    The error's text, for logs, has the reason. The body has not: a reason may name hosts.
    """

    status_code = 503
    kind = "guard_down"
    retry_after_seconds = 1

    def __init__(self, budget: str, reason: str) -> None:
        self.budget = budget
        super().__init__(f"budget {budget} can't be checked, and it refuses then: {reason}")

    def body(self) -> dict[str, Any]:
        message = f"budget {self.budget} can't be checked for now; try again in a moment"
        return {"error": self.kind, "message": message, "budget": self.budget}


def _text(nano: int) -> str:
    return f"{usd(nano).normalize():f}"


def _whose(value: str) -> str:
    """Return whose budget it is; what would break a line of a log is escaped."""
    if not value:
        return ""
    return f" of {value if value.isprintable() else ascii(value)}"


def _shortfall(figures: BudgetFigures, asked_nano_usd: int) -> str:
    left = figures.limit_nano_usd - figures.spent_nano_usd - figures.held_nano_usd
    amounts = [display_usd(asked_nano_usd), display_usd(max(left, 0))]
    if amounts[0] == amounts[1]:
        # They differ below the cent, and that is why it was refused.
        amounts = [f"${_text(asked_nano_usd)}", f"${_text(max(left, 0))}"]
    when = "in all" if figures.resets_at is None else f"for {figures.period}"
    held = figures.held_nano_usd
    return (
        f"{amounts[0]} is asked for, and {amounts[1] if left > 0 else 'nothing'} is left of "
        f"{display_usd(figures.limit_nano_usd)} {when} "
        f"({display_usd(figures.spent_nano_usd)} spent"
        + (f", {display_usd(held)} held by running requests)" if held else ")")
    )
