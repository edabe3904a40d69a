"""What the scripts of ``ValkeyStore`` answer, as the values of a step."""

from __future__ import annotations

import json

from spendfuse.errors import SettingsError
from spendfuse.guard.repeats import check_again, part_after_the_end, settled_otherwise
from spendfuse.guard.step import (
    Granted,
    Hold,
    Level,
    RateLevel,
    Refused,
    Reserve,
    Settle,
    Settled,
    Standing,
    Unseeded,
)

_new_tuple = tuple.__new__
_STATES = {b"s": "settled", b"r": "released", b"h": "expired"}


def reserved(step: Reserve, answer: bytes) -> Granted | Refused | Unseeded:
    """Read what reserve.lua answers."""
    parts = answer.split(b" ")
    kind = parts[0]
    if kind == b"G":
        grant = int(parts[1])
        hold = _new_tuple(Hold, (step.id, grant, step.levels, step.rates, int(parts[2])))
        return _new_tuple(Granted, (hold, _standings(parts[3:], grant), False))
    if kind == b"R":
        end = 1 + 3 * len(step.levels)
        waits = tuple([-1.0 if each == b"-1" else int(each) / 1000 for each in parts[end:]])
        return Refused(_standings(parts[1:end], 0), waits)
    if kind == b"U":
        return _unseeded(step.levels, parts)
    if kind == b"A":
        return _again(step, answer)
    raise _too_much(step.levels)


def settled(step: Settle, answer: bytes) -> Settled | Unseeded:
    """Read what settle.lua answers."""
    parts = answer.split(b" ")
    kind = parts[0]
    hold = step.hold
    if kind in {b"S", b"L"}:
        cost = step.nano_usd
        standings = [
            _new_tuple(
                Standing,
                (int(parts[i]) + cost, int(parts[i + 1]) + int(parts[i + 2]), parts[i + 3] == b"1"),
            )
            for i in range(1, len(parts), 4)
        ]
        return _new_tuple(Settled, ("settled" if kind == b"S" else "late", tuple(standings)))
    if kind == b"A":
        return Settled("again")
    if kind == b"U":
        return _unseeded(hold.levels, parts)
    if kind == b"M":
        raise settled_otherwise(step, int(parts[1]))
    if kind == b"P":
        raise part_after_the_end(step)
    raise _too_much(hold.levels)


def looked(answer: bytes) -> list[Standing | None]:
    """Read what look.lua answers."""
    return [
        None if each == b"-" else _standings(each.split(b" "), 0)[0] for each in answer.split(b",")
    ]


def found(hold_id: str, record: bytes) -> Hold:
    """Read a hold's record."""
    fields, _, text = record.partition(b"\n")
    levels, rates = json.loads(text)
    _, _, granted, _, _, _, _, slot, _ = fields.split(b" ")
    return Hold(
        hold_id,
        int(granted),
        tuple([Level(*each) for each in levels]),
        tuple([RateLevel(*each) for each in rates]),
        int(slot),
    )


def _again(step: Reserve, answer: bytes) -> Granted:
    stands, _, record = answer.partition(b"\n")
    _, now, *parts = stands.split(b" ")
    state, asked, _, _, _, ends, *_ = record.split(b" ", 6)
    is_live = state == b"h" and int(ends) > int(now)
    hold = found(step.id, record)
    check_again(
        step,
        state="held" if is_live else _STATES[state],
        asked=int(asked),
        counters=[each.counter for each in hold.levels],
    )
    return Granted(hold, _standings(parts, 0), is_again=True)


def _standings(parts: list[bytes], added: int) -> tuple[Standing, ...]:
    return tuple(
        [
            _new_tuple(Standing, (int(parts[i]), int(parts[i + 1]) + added, parts[i + 2] == b"1"))
            for i in range(0, len(parts), 3)
        ]
    )


def _unseeded(levels: tuple[Level, ...], parts: list[bytes]) -> Unseeded:
    return Unseeded(tuple([levels[int(each) - 1].counter for each in parts[1:]]))


def _too_much(levels: tuple[Level, ...]) -> SettingsError:
    names = ", ".join(repr(each.budget) for each in levels)
    return SettingsError(
        f"a counter of {names} would pass $9,000,000,000, which this store can't count: "
        "split the budget"
    )
