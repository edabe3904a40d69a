"""What a streamed answer has said so far, and the one report that comes of it.

A stream ends in five ways: read to its end, broken off by an error, closed early, cancelled, or
dropped. The first end that is seen reports; what comes after it does nothing.
"""

from __future__ import annotations

import os
from typing import Any, ClassVar

from spendfuse.metering.integrations.abandoned import abandoned
from spendfuse.metering.integrations.call import MeteredCall, status_of
from spendfuse.metering.integrations.estimated import estimated_tokens, event_bytes
from spendfuse.metering.record import Status
from spendfuse.metering.reporting import mark_counted
from spendfuse.metering.responses import StreamUsage
from spendfuse.metering.responses.fields import fields_of, text_of
from spendfuse.metering.usage import Usage, UsageError


class StreamWatch:
    """Watches the events of one stream.

    Args:
        call: What it reports as.
        hides_usage: Hold back the event that comes only because the meter asked for usage: it has
            no choices, and apps take the first of them.
    """

    __slots__ = (
        "__weakref__",
        "_call",
        "_hides_usage",
        "_id",
        "_made_in",
        "_model",
        "_output_bytes",
        "_usage",
    )
    left: ClassVar[Status] = "cancelled"
    """What a stream is that the app leaves before its end."""

    def __init__(self, call: MeteredCall, *, hides_usage: bool = False) -> None:
        self._call = call
        self._hides_usage = hides_usage
        self._usage = StreamUsage()
        self._output_bytes = 0
        self._id = self._model = ""
        self._made_in = os.getpid()
        abandoned().watch(self)
        call.outlasts()

    def shows(self, event: Any) -> bool:
        try:
            self._see(event)
        except Exception as error:  # noqa: BLE001 (the app gets its event whatever it holds)
            self._call.refuse(error)
        return not (self._hides_usage and _is_usage_alone(event))

    def _see(self, event: Any) -> None:
        self._usage.add(event)
        self._output_bytes += event_bytes(event)
        if not self._model:
            self._id, self._model = _id_and_model(event)

    def ended(self) -> None:
        self._settle("ok", None)
        # A whole answer may be made of what passed here, and returned by a decorated function.
        mark_counted(self._id or None)

    def broke(self, error: BaseException) -> None:
        mark_counted(error)
        self._settle(status_of(error), error)

    def closed(self) -> None:
        self._settle(self.left, None)

    def dropped(self) -> None:
        # A stream that was open across a fork is its parent's.
        if not self._call.is_reported and self._made_in == os.getpid():
            abandoned().drop(self)

    def settle(self) -> None:
        self._settle(self.left, None)

    def __del__(self) -> None:
        self.dropped()

    def _settle(self, status: Status, error: BaseException | None) -> None:
        abandoned().forget(self)
        if not self._call.is_reported:
            try:
                self._report(status, error)
            except Exception as problem:  # noqa: BLE001 (as above)
                self._call.unreadable(problem, status=status, error=error)
        self._call.concluded()

    def _report(self, status: Status, error: BaseException | None) -> None:
        call = self._call
        try:
            read = self._usage.response(call.provider, call.model)
        except UsageError as problem:
            call.unreadable(problem, status=status, error=error)
            return
        if read is None:
            call.unsaid(
                model=self._model, status=status, error=error, output_bytes=self._output_bytes
            )
            return
        seen = estimated_tokens(self._output_bytes)
        is_cut_off = not self._usage.complete and seen > read.usage.output_tokens
        if is_cut_off:
            # Anthropic tells the input at once, and the output only at the end.
            read = read._replace(usage=Usage(**{**read.usage._asdict(), "output_tokens": seen}))
        call.used(read, status=status, error=error, estimated=is_cut_off)


def _is_usage_alone(event: Any) -> bool:
    return getattr(event, "choices", None) == [] and getattr(event, "usage", None) is not None


def _id_and_model(event: Any) -> tuple[str, str]:
    """Return whose answer it is, and its id: a stream's first events say so, before any usage."""
    fields = fields_of(event)
    inner = fields_of(fields.get("response") or fields.get("message")) or fields
    return text_of(inner.get("id")), text_of(inner.get("model"))
