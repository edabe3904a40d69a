"""Who hears of a call's record when it is made: the reservations around the call.

Listeners travel with the attribution of a call. So they follow it into tasks, into threads that
run in a copied context, and into a stream, and they hear of its record wherever that is made:
after the request, in the middleware around it, all the same.
"""

from __future__ import annotations

import logging
from contextvars import Token
from typing import TYPE_CHECKING, Protocol

from spendfuse.metering.attribution import Attribution, current_attribution, enter

if TYPE_CHECKING:
    from spendfuse.metering.record import Record

logger = logging.getLogger(__name__)


class Listener(Protocol):
    """Hears of the calls that were made while it listened; called from any thread."""

    def expect(self) -> None:
        """A call was reported to a meter that has not recorded it yet."""
        ...

    def hear(self, record: Record) -> None:
        """A call was recorded."""
        ...

    def arrived(self) -> None:
        """A call that was expected was handed on; its record, if it has one, was heard."""
        ...


def listen(listeners: tuple[Listener, ...]) -> Token[Attribution]:
    """Let these, and no others, hear of the calls made here, until ``attribution.leave``."""
    return enter(current_attribution()._replace(listeners=listeners))


def tell(listeners: tuple[Listener, ...], record: Record | None) -> None:
    """Tell of a record, or that what was expected was handed on (None).

    Raises nothing, for it is told in the app's own request.
    """
    for each in listeners:
        try:
            if record is None:
                each.arrived()
            else:
                each.hear(record)
        except Exception as error:  # a listener is no part of the meter
            logger.warning("a listener failed at a record: %s", type(error).__name__)
            logger.debug("the error behind it", exc_info=True)
