"""What is in force now: the limits, and the state of the fuse."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from spendfuse.budget import Budget, Limits
from spendfuse.errors import SettingsError
from spendfuse.fuse_state import FuseState
from spendfuse.guard.errors import FuseTrippedError
from spendfuse.guard.last_known import LastKnown
from spendfuse.guard.tree import BudgetTree

LimitsSource = Limits | Sequence[Budget] | Callable[[], Limits]


class LimitsInForce:
    """The limits, as a tree that is made anew when they change.

    Raises:
        SettingsError: two budgets have one name.
    """

    def __init__(self, limits: LimitsSource) -> None:
        self._source = LastKnown("the limits", limits) if callable(limits) else None
        self._tree = BudgetTree(self._source.value if self._source else _fixed(limits))

    def tree(self) -> BudgetTree:
        if self._source is not None:
            limits, known = self._source(), self._tree.limits
            if limits is not known and limits != known:
                self._tree = BudgetTree(limits)
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


def _fixed(limits: LimitsSource) -> Limits:
    if callable(limits):
        return limits()
    fixed = limits if isinstance(limits, Limits) else Limits(tuple(limits))
    names = [each.name for each in fixed.budgets] + [each.name for each in fixed.rates]
    twice = sorted({each for each in names if names.count(each) > 1})
    if twice:
        raise SettingsError(
            f"each budget and each rate needs a name of its own: {', '.join(twice)}"
        )
    return fixed
