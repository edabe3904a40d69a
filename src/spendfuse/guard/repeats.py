"""The same id again: what may come twice, and what is a mistake. One rule for all stores."""

from __future__ import annotations

from collections.abc import Sequence

from spendfuse.guard.errors import ReservationError
from spendfuse.guard.step import Reserve, Settle
from spendfuse.money import usd


def check_again(step: Reserve, *, state: str, asked: int, counters: Sequence[str]) -> None:
    """Check that a reservation whose id is known is the same one.

    Args:
        step: what is reserved now.
        state: what became of the one that is known.
        asked: its amount, before any budget lowered it.
        counters: its levels' counters, in order.

    Raises:
        ReservationError: it is another, or is finished.
    """
    wrong = ""
    if state != "held":
        wrong = f"is {state}"
    elif asked != step.nano_usd:
        wrong = f"was made for ${usd(asked)}, and now for ${usd(step.nano_usd)}"
    elif list(counters) != [each.counter for each in step.levels]:
        wrong = "was made for other budgets"
    if wrong:
        raise ReservationError(f"reservation {step.id} {wrong}; a new one needs a new id")


def is_counted(step: Settle, *, is_settled: bool, part: int, final: int) -> bool:
    """Return whether a settle was taken before.

    Args:
        step: what is settled now.
        is_settled: whether the hold was settled finally.
        part: the number of its last part that counted.
        final: what it was settled with in the end.

    Raises:
        ReservationError: another one was, after which this one can't be.
    """
    if step.keep_nano_usd is not None and step.part <= part:
        return True
    if not is_settled:
        return False
    if step.keep_nano_usd is not None:
        raise part_after_the_end(step)
    if step.nano_usd != final:
        raise settled_otherwise(step, final)
    return True


def part_after_the_end(step: Settle) -> ReservationError:
    return ReservationError(
        f"reservation {step.hold.id} is settled; no part {step.part} can follow"
    )


def settled_otherwise(step: Settle, final: int) -> ReservationError:
    return ReservationError(
        f"reservation {step.hold.id} was settled with ${usd(final)}, and now with "
        f"${usd(step.nano_usd)}; the first one counts"
    )
