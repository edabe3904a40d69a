"""OpenAI's background responses: created by one call, and answered by a later one.

The call is counted when somebody retrieves the finished response through the same client or a
copy of it. One that nobody retrieves counts its input, as an estimate, when the process ends.
"""

from __future__ import annotations

import re
import threading

from spendfuse.metering.forks import renew_after_fork
from spendfuse.metering.integrations.abandoned import abandoned
from spendfuse.metering.integrations.call import MeteredCall
from spendfuse.metering.integrations.stream_watch import StreamWatch
from spendfuse.metering.record import Status
from spendfuse.metering.responses.fields import fields_of, text_of

MAX_WAITING = 1_000
_RUNNING = frozenset(("queued", "in_progress"))
_PATH = re.compile(r".*/responses/([^/?]+)(?:/cancel)?")


def running_id(response: object) -> str:
    """Return the id of a response that is not finished; empty for all others."""
    fields = fields_of(response)
    is_running = fields.get("object") == "response" and text_of(fields.get("status")) in _RUNNING
    return text_of(fields.get("id")) if is_running else ""


class Background:
    """The calls whose responses are still being made."""

    def __init__(self) -> None:
        self._waiting: dict[str, MeteredCall] = {}
        self._renew_lock()
        renew_after_fork(self._renew_lock)

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()

    def put(self, response_id: str, call: MeteredCall) -> None:
        abandoned().watch(self)
        with self._lock:
            self._waiting[response_id] = call
            oldest = None
            if len(self._waiting) > MAX_WAITING:
                oldest = self._waiting.pop(next(iter(self._waiting)))
        if oldest is not None:
            oldest.unsaid()

    def call_of(self, path: str) -> MeteredCall | None:
        """Return the call that is answered by a request to ``path``."""
        found = _PATH.fullmatch(path.partition("?")[0]) if self._waiting else None
        return None if found is None else self._waiting.get(found[1])

    def forget(self, response: object) -> None:
        with self._lock:
            self._waiting.pop(text_of(fields_of(response).get("id")), None)

    def settle(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for call in waiting.values():
            call.unsaid()


class UsageWatch(StreamWatch):
    """Watches a stream that counts only if it says what was used, such as one that is resumed."""

    __slots__ = ()

    def _report(self, status: Status, error: BaseException | None) -> None:
        if self._usage.complete:
            super()._report(status, error)
