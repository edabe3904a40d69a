"""What a new limit would do, said before it does it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from spendfuse.budget import Budget, Override, Rung
from spendfuse.cli.budget_book import Book
from spendfuse.cli.budget_report import minute, unset, used_text
from spendfuse.cli.budget_text import printable
from spendfuse.guard.stores.valkey_packing import MOST_NANO_USD
from spendfuse.money import display_usd


class Change(NamedTuple):
    """One limit that is to become another."""

    book: Book
    budget: Budget
    value: str
    before_nano_usd: int
    limit_nano_usd: int
    """From now on."""
    spent_nano_usd: int | None
    """In the period that runs; None where the ledger counts no such sum."""

    @property
    def reached(self) -> list[Rung]:
        """The rungs that the spend has reached, once the limit is the new one.

        Under a raised limit those that only inform are left out: people heard of them before.
        """
        spent = self.spent_nano_usd or 0
        is_lowered = self.limit_nano_usd < self.before_nano_usd
        return [
            each
            for each in self.budget.ladder
            if each.threshold_nano_usd(self.limit_nano_usd) <= spent and (each.trips or is_lowered)
        ]

    @property
    def is_drastic(self) -> bool:
        """Whether it stops requests at once, or may blow the fuse."""
        spent = self.spent_nano_usd
        refuses = spent is not None and spent >= self.limit_nano_usd
        return refuses or self.is_too_high_for_valkey or any(each.trips for each in self.reached)

    @property
    def is_too_high_for_valkey(self) -> bool:
        """Whether guards that count in Valkey would fail: which store they have, nobody knows."""
        return self.before_nano_usd <= MOST_NANO_USD < self.limit_nano_usd


def change_of(book: Book, budget: Budget, value: str, limit_nano_usd: int) -> Change:
    """Return the change from the limit in force to another one."""
    return Change(
        book=book,
        budget=budget,
        value=value,
        before_nano_usd=book.limit(budget, value),
        limit_nano_usd=limit_nano_usd,
        spent_nano_usd=book.spent(budget, budget.period_at(book.now), value),
    )


def title(change: Change) -> str:
    """Return whose limit it is: ``llm``, or ``user-day for user u-17``."""
    budget, value = change.budget, change.value
    if value:
        return f"{budget.name} for {budget.per} {printable(value)}"
    return f"{budget.name} for each {budget.per}" if budget.per else budget.name


def warning_lines(change: Change) -> Iterator[str]:
    """Yield what a drastic change would bring about."""
    budget, spent = change.budget, change.spent_nano_usd or 0
    period = budget.period_at(change.book.now)
    is_counted = change.spent_nano_usd is not None
    so_far = f"{display_usd(spent)} is spent in {period.key}; " if is_counted else ""
    yield (
        f"{title(change)}: {so_far}the limit would be "
        f"{display_usd(change.limit_nano_usd)} instead of {display_usd(change.before_nano_usd)}."
    )
    if spent >= change.limit_nano_usd and budget.mode == "observe":
        yield "  Requests are reported as over the limit; mode observe refuses none."
    elif spent >= change.limit_nano_usd:
        until = "for good" if budget.period == "total" else f"until {minute(period.end)}"
        yield f"  Every further request that counts here is refused {until}."
    if change.is_too_high_for_valkey:
        yield (
            "  Where the guard counts in Valkey, each of these requests fails: it takes no limit "
            f"above {display_usd(MOST_NANO_USD)}."
        )
    for rung in change.reached:
        at = display_usd(rung.threshold_nano_usd(change.limit_nano_usd))
        blows = ", and the fuse may trip and disable its API keys" if rung.trips else ""
        yield f"  {rung.percent} % ({at}) is reached: it tells {', '.join(rung.channels)}{blows}."


def done_lines(change: Change) -> Iterator[str]:
    """Yield what has changed, and who keeps another limit."""
    budget, spent = change.budget, change.spent_nano_usd
    before, after = change.before_nano_usd, change.limit_nano_usd
    if before == after:
        yield f"{title(change)}: the limit stays {display_usd(after)}."
    else:
        was = display_usd(before)
        yield f"{title(change)}: the limit is {display_usd(after)} now, it was {was}."
    if spent is not None:
        period = budget.period_at(change.book.now)
        yield f"  Spent in {period.key}: {display_usd(spent)}, {used_text(spent, after)} of it."
    elif after < before and budget.per and not change.value and budget.mode != "observe":
        yield f"  Whoever has spent {display_usd(after)} already is refused from now on."
    # At the same limit they have rung, and do not ring again.
    if change.reached and not change.is_drastic and before != after:
        due = ", ".join(
            f"{each.percent} % ({display_usd(each.threshold_nano_usd(after))})"
            for each in change.reached
        )
        yield f"  Rungs that are due at this limit, and tell people: {due}."
    own = [] if change.value else change.book.of_values(budget)
    if own:
        kept = ", ".join(
            f"{printable(each.value)} ({display_usd(each.limit_nano_usd)})" for each in own
        )
        yield f"  With a limit of their own, which they keep: {kept}."
    yield from _bill_lines(change)
    yield "  All processes follow within 5 seconds."


def _bill_lines(change: Change) -> Iterator[str]:
    """Yield the AWS Budgets that would blow the fuse below the new limit."""
    budget = change.budget
    for each in change.book.aws_budgets:
        trips = [rung for rung in each.ladder if rung.trips]
        if not trips or (each.budget, each.period) != (budget.name, budget.period):
            continue
        threshold = trips[0].threshold_nano_usd(each.limit_nano_usd)
        if threshold < change.limit_nano_usd:
            yield (
                f"  The AWS Budget {each.aws_name} still trips the fuse at "
                f"{display_usd(threshold)} of AWS's bill, until cdk.json says more."
            )


def undo_line(change: Change) -> str:
    """Return how to take it back, and to what that leads."""
    after = change.book.limits._replace(
        overrides={
            key: each
            for key, each in change.book.limits.overrides.items()
            if key != (change.budget.name, change.value)
        }
    )
    limit = after.limit_nano_usd(change.budget, change.value)
    command = unset(Override(change.budget.name, change.value, 0))
    return f"  To go back to {display_usd(limit)}: {command}"
