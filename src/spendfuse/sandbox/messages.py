"""What arrived in the inbox, and how it is to answer next."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

from spendfuse.clock import utc_text
from spendfuse.errors import InputError

Channel = Literal["slack", "email", "pagerduty"]
CHANNELS: tuple[Channel, ...] = get_args(Channel)


@dataclass(frozen=True, slots=True)
class Message:
    """One message; an e-mail's body has ``subject``, ``to`` and ``text``."""

    channel: str
    received_at: str
    """RFC 3339 in UTC."""
    body: Mapping[str, Any]
    path: str = ""
    """The URL's path, where it came over HTTP."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Fault:
    """How the inbox answers instead of taking the message."""

    status: int = 500
    retry_after: int | None = None
    """Seconds, in the Retry-After header."""
    hang_seconds: float = 0.0
    """Say nothing for so long, then close the connection without an answer."""


@dataclass
class Messages:
    """Thread-safe: servers put messages in, tests take them out."""

    now: Callable[[], datetime]
    _delivered: list[Message] = field(default_factory=list)
    _refused: list[Message] = field(default_factory=list)
    _faults: dict[Channel, list[Fault]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def arrive(self, channel: Channel, body: Mapping[str, Any], path: str = "") -> Fault | None:
        """Take a message; return the fault to answer with if it is to be refused."""
        message = Message(channel, utc_text(self.now()), body, path)
        with self._lock:
            waiting = self._faults.get(channel)
            if not waiting:
                self._delivered.append(message)
                return None
            self._refused.append(message)
            return waiting.pop(0)

    def answer(self, channel: str, fault: Fault, *, times: int = 1) -> None:
        """Refuse the channel's next ``times`` messages so.

        Raises:
            InputError: there is no such channel.
        """
        known = next((each for each in CHANNELS if each == channel), None)
        if known is None:
            raise InputError(f"no channel {channel!r}; there are: {', '.join(CHANNELS)}")
        with self._lock:
            self._faults.setdefault(known, []).extend([fault] * times)

    def delivered(self, channel: str | None = None) -> list[Message]:
        """Return what was taken, oldest first."""
        with self._lock:
            return [each for each in self._delivered if channel in (None, each.channel)]

    def refused(self, channel: str | None = None) -> list[Message]:
        """Return what was answered with a fault, oldest first."""
        with self._lock:
            return [each for each in self._refused if channel in (None, each.channel)]

    def clear(self) -> None:
        """Forget all messages and all faults that still wait."""
        with self._lock:
            self._delivered.clear()
            self._refused.clear()
            self._faults.clear()
