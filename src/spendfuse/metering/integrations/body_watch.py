"""An answer that the app reads as bytes: what it says is read along, whoever parses it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from spendfuse.metering.integrations.call import MeteredCall
from spendfuse.metering.integrations.stream_watch import StreamWatch
from spendfuse.metering.record import Status
from spendfuse.metering.responses.fields import text_of

MAX_BYTES = 8 * 1024 * 1024
"""Of a body that is kept until its end, or of one event: a longer one is estimated."""


class BodyWatch(StreamWatch):
    """Watches the bytes of a response, by its content type."""

    __slots__ = ("_is_events", "_is_json", "_kept")

    def __init__(self, call: MeteredCall, headers: Mapping[str, str]) -> None:
        super().__init__(call)
        kind = headers.get("content-type", "")
        self._is_events = "text/event-stream" in kind
        self._is_json = not self._is_events and "json" in kind
        self._kept = bytearray()

    def _see(self, event: Any) -> None:
        if not (self._is_events or self._is_json):
            return
        self._kept += event
        if self._is_events:
            self._take_lines()
        if len(self._kept) > MAX_BYTES:
            self._is_events = self._is_json = False
            self._kept.clear()

    def _take_lines(self) -> None:
        end = self._kept.rfind(b"\n") + 1
        lines = bytes(self._kept[:end]).splitlines()
        del self._kept[:end]
        for line in lines:
            if line.startswith(b"data:") and line.rstrip().endswith(b"}"):
                super()._see(json.loads(line[5:]))

    def _report(self, status: Status, error: BaseException | None) -> None:
        if self._is_json and status == "ok" and self._kept:
            answer = json.loads(self._kept)
            self._id = text_of(answer.get("id"))
            self._call.answered(answer)
        else:
            super()._report(status, error)
