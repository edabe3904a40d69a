from __future__ import annotations

from spendfuse.guard.outage.backlog import Backlog, Release
from spendfuse.guard.step import Hold, Settle


def a_release(hold_id: str) -> Release:
    return Release(Hold(hold_id, 5, ()))


def emptied(backlog: Backlog) -> list[Settle | Release]:
    """Take out all that is due."""
    steps = []
    while first := backlog.first():
        steps.append(first.step)
        backlog.remove(first)
    return steps


def test_what_is_put_off_holds_up_the_rest_of_its_hold_and_nothing_else() -> None:
    backlog = Backlog()
    first, other, second = a_release("a"), a_release("b"), a_release("a")
    for each in (first, other, second):
        backlog.add(each)
    put_off = backlog.first()
    assert put_off is not None
    backlog.put_off(put_off)

    assert emptied(backlog) == [other]
    assert len(backlog) == 2
    backlog.resume()
    assert emptied(backlog) == [first, second]
    assert "a" not in backlog


def test_what_was_put_off_is_dropped_first() -> None:
    backlog = Backlog(2)
    steps = [a_release(name) for name in "abc"]
    backlog.add(steps[0])
    put_off = backlog.first()
    assert put_off is not None
    backlog.put_off(put_off)
    backlog.add(steps[1])

    assert backlog.add(steps[2]) is put_off
    assert not backlog.has_put_off
    assert emptied(backlog) == steps[1:]
