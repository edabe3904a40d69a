"""What is remembered of calls under way, or done: the latest entries, and no more."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

from spendfuse.metering.forks import renew_after_fork

MAX_REMEMBERED = 10_000
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class Recent(Generic[_Key, _Value]):
    """The latest entries; what never ends holds no memory for ever."""

    def __init__(self) -> None:
        self._entries: dict[_Key, _Value] = {}
        self._renew_lock()
        renew_after_fork(self._renew_lock)

    def _renew_lock(self) -> None:
        # A generator that is garbage-collected ends its span, perhaps while this thread is here.
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, key: _Key, value: _Value) -> None:
        with self._lock:
            self._entries[key] = value
            while len(self._entries) > MAX_REMEMBERED:
                del self._entries[next(iter(self._entries))]

    def pop(self, key: _Key, default: _Value) -> _Value:
        with self._lock:
            return self._entries.pop(key, default)

    def swap(self, key: _Key, value: _Value, default: _Value) -> _Value:
        """Put ``value`` and return what stood there."""
        with self._lock:
            before = self._entries.get(key, default)
            self.put(key, value)
            return before
