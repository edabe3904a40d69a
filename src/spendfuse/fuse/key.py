"""A key that the fuse may disable, and the port of the stores that hold keys.

Keys are known by id and name. Their values are never read: who can't see a secret can't leak it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from spendfuse.errors import InputError

FUSE_TAG = "spendfuse:fuse"
"""A key belongs to the fuse that this tag names, and to no other."""
PROTECT_TAG = "spendfuse:protect"
"""``true``: no trip touches the key."""
OWNER_TAG = "spendfuse:owner"


class NoSuchKeyError(InputError):
    """The key is gone from its store."""


@dataclass(frozen=True, slots=True)
class KeyRef:
    """What tells a key from every other."""

    store: str
    id: str


@dataclass(frozen=True, slots=True)
class Key:
    """A key as its store showed it."""

    store: str
    id: str
    name: str
    enabled: bool
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def ref(self) -> KeyRef:
        return KeyRef(self.store, self.id)

    @property
    def owner(self) -> str:
        return self.tags.get(OWNER_TAG, "")

    @property
    def is_protected(self) -> bool:
        return self.tags.get(PROTECT_TAG, "").strip().lower() == "true"

    def __str__(self) -> str:
        return f"{self.name} ({self.id})" if self.name else self.id


class KeyStore(Protocol):
    """A place whose keys the fuse can disable, and enable again."""

    @property
    def name(self) -> str:
        """The store's name in the configuration and in restore records."""
        ...

    def all_keys(self) -> list[Key]:
        """Return every key of the store, whosever it is.

        Raises:
            UnavailableError: the list could not be read to its end.
        """
        ...

    def key(self, key_id: str) -> Key:
        """Return one key as it is now.

        Raises:
            NoSuchKeyError: it was deleted.
            UnavailableError: the store did not answer.
        """
        ...

    def disable(self, key_id: str) -> None:
        """Stop the key from working; a disabled key stays disabled.

        Raises:
            NoSuchKeyError: it was deleted.
            UnavailableError: it may have worked or not; read the key to know.
        """
        ...

    def enable(self, key_id: str) -> None:
        """Let the key work again. Raises what ``disable`` raises."""
        ...
