"""What is in force now: the limits, and the state of the fuse."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from spendfuse.budget import MODES, WHEN_DOWN, Budget, Limits, Rate
from spendfuse.errors import InputError, SettingsError
from spendfuse.fuse_state import FuseState
from spendfuse.guard.errors import FuseTrippedError
from spendfuse.guard.last_known import LastKnown
from spendfuse.guard.tree import BudgetTree
from spendfuse.period import PERIOD_KINDS, zone_of

_Scope = TypeVar("_Scope", Budget, Rate)
LimitsSource = Limits | Sequence[Budget] | Callable[[], Limits]


class LimitsInForce:
    """The limits, as a tree that is made anew when they change.

    Raises:
        SettingsError: a budget can't be, or two of them have one name. In limits that change
            later, that is a failure to read them: the last ones hold.
    """

    def __init__(self, limits: LimitsSource) -> None:
        self._source = LastKnown("the limits", limits) if callable(limits) else None
        if isinstance(limits, Sequence) and not isinstance(limits, Limits | str):
            limits = Limits(tuple(limits))
        self._tree = BudgetTree(checked(self._source.value if self._source else limits))

    def tree(self) -> BudgetTree:
        if self._source is not None:
            limits, known = self._source(), self._tree.limits
            if limits is not known and limits != known:
                try:
                    self._tree = BudgetTree(checked(limits))
                except SettingsError as error:
                    self._source.fail(error)
        return self._tree

    @property
    def failures(self) -> int:
        return 0 if self._source is None else self._source.failures

    def would_wait(self) -> bool:
        return self._source is not None and self._source.would_wait()


class FuseInForce:
    """The fuse, where the guard asks one."""

    def __init__(self, read: Callable[[], FuseState] | None) -> None:
        self._source = None if read is None else LastKnown("the fuse", read, FuseState(""))

    def check(self) -> None:
        """Pass.

        Raises:
            FuseTrippedError: it is tripped.
        """
        state = self.state()
        if state is not None and state.state == "tripped":
            raise FuseTrippedError(state.fuse, trip_id=state.trip_id, since=state.since)

    def state(self) -> FuseState | None:
        return None if self._source is None else self._source()

    @property
    def failures(self) -> int:
        return 0 if self._source is None else self._source.failures

    def would_wait(self) -> bool:
        return self._source is not None and self._source.would_wait()


def checked(limits: object) -> Limits:
    """Return limits that can be enforced.

    Raises:
        SettingsError: all that is wrong with them.
    """
    if not isinstance(limits, Limits):
        raise SettingsError(
            "the limits must be a list of budgets, Limits, or a function that returns Limits, got "
            f"{type(limits).__name__}"
        )
    wrong = [*_wrong_with_all(limits.budgets, Budget, _wrong_with_budget)]
    wrong += _wrong_with_all(limits.rates, Rate, _wrong_with_rate)
    if wrong:
        raise SettingsError("; ".join(wrong))
    names = [each.name for each in limits.budgets] + [each.name for each in limits.rates]
    twice = sorted({each for each in names if names.count(each) > 1})
    if twice:
        raise SettingsError(
            f"each budget and each rate needs a name of its own: {', '.join(twice)}"
        )
    return limits


def _wrong_with_all(
    scopes: Iterable[_Scope], kind: type[_Scope], wrong_with: Callable[[_Scope], Iterable[str]]
) -> Iterator[str]:
    name = kind.__name__
    for each in scopes:
        if not isinstance(each, kind):
            yield f"a {name.lower()} must be a {name}, got {type(each).__name__}"
        else:
            yield from (f"{name.lower()} {each.name!r}: {wrong}" for wrong in wrong_with(each))


def _wrong_with_budget(budget: Budget) -> Iterator[str]:
    if not isinstance(budget.name, str) or not budget.name:
        yield "name must be text"
    yield from _wrong_with_amount("limit_nano_usd", budget.limit_nano_usd)
    for name, value, known in (
        ("period", budget.period, PERIOD_KINDS),
        ("mode", budget.mode, MODES),
        ("when_down", budget.when_down, WHEN_DOWN),
    ):
        if value not in known:
            yield f"{name} must be one of {', '.join(known)}, got {value!r}"
    try:
        zone_of(budget.zone)
    except InputError as error:
        yield str(error)


def _wrong_with_rate(rate: Rate) -> Iterator[str]:
    return _wrong_with_amount("nano_usd_per_minute", rate.nano_usd_per_minute)


def _wrong_with_amount(name: str, amount: object) -> Iterator[str]:
    if type(amount) is not int or amount < 0:
        yield (
            f"{name} must be a whole number of nano-dollars, got {amount!r}; "
            "nano_usd(Decimal(10)) makes it of ten dollars"
        )
