"""``MemoryKeys``: keys in this process, for tests and for trying things out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from spendfuse.errors import UnavailableError
from spendfuse.fuse.key import Key, NoSuchKeyError


class MemoryKeys:
    """A ``KeyStore`` that fails on command."""

    name = "memory"

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        self._keys = {key.id: replace(key, store=self.name) for key in keys}
        self.failing: set[str] = set()
        """Ids of keys that can't be switched for now."""
        self.ignoring: set[str] = set()
        """Ids of keys for which the store says yes and does nothing."""
        self.mute: set[str] = set()
        """Ids of keys that can't be read for now."""
        self.down = False
        """Whether the list can't be read for now."""

    def put(self, key: Key) -> None:
        """Create the key, or change it as a person would."""
        self._keys[key.id] = replace(key, store=self.name)

    def delete(self, key_id: str) -> None:
        """Delete the key as a person would."""
        del self._keys[key_id]

    def all_keys(self) -> list[Key]:
        if self.down:
            raise UnavailableError("the keys can't be listed")
        return list(self._keys.values())

    def key(self, key_id: str) -> Key:
        if key_id in self.mute:
            raise UnavailableError(f"key {key_id} can't be read")
        if key_id not in self._keys:
            raise NoSuchKeyError(f"there is no key {key_id}")
        return self._keys[key_id]

    def disable(self, key_id: str) -> None:
        self._switch(key_id, enabled=False)

    def enable(self, key_id: str) -> None:
        self._switch(key_id, enabled=True)

    def _switch(self, key_id: str, *, enabled: bool) -> None:
        if key_id in self.failing:
            raise UnavailableError(f"key {key_id} can't be switched")
        if key_id not in self._keys:
            raise NoSuchKeyError(f"there is no key {key_id}")
        if key_id not in self.ignoring:
            self._keys[key_id] = replace(self._keys[key_id], enabled=enabled)
