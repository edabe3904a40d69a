"""Who asked, and what: kept as little as you wish.

User ids travel as they are, or as pseudonyms: a keyed hash, the same for the same user, which
nobody without the key can turn back or try out. Prompts are never kept; their length and, if you
ask for it, a keyed hash are.
"""

from __future__ import annotations

import hmac
from hashlib import sha256

from spendfuse.errors import SettingsError
from spendfuse.metering.attribution import Scalar

MIN_KEY_BYTES = 16
_CHARACTERS = 24
_MAX_KEPT = 4096


class Pseudonyms:
    """Turns user ids into pseudonyms.

    Args:
        key: at least 16 random bytes from a secret store. With another key every user gets
            another pseudonym: budgets per user start anew.

    Raises:
        SettingsError: the key is too short.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < MIN_KEY_BYTES:
            raise SettingsError(
                f"the key for pseudonyms has {len(key)} bytes; it needs {MIN_KEY_BYTES} or more, "
                "for example from `openssl rand -hex 32`"
            )
        self._key = key
        self._kept: dict[str, str] = {}

    def of(self, user: str) -> str:
        """Return the user's pseudonym: ``p_`` and 24 hex digits."""
        known = self._kept.get(user)
        if known is None:
            if len(self._kept) >= _MAX_KEPT:
                self._kept.clear()
            known = self._kept[user] = f"p_{keyed_hash(self._key, user)[:_CHARACTERS]}"
        return known


def keyed_hash(key: bytes, text: str) -> str:
    """Return a hash of ``text`` that can't be guessed without the key, as hex."""
    return hmac.new(key, text.encode("utf-8", "surrogatepass"), sha256).hexdigest()


def prompt_fields(prompt: str, *, key: bytes | None = None) -> dict[str, Scalar]:
    """Return what may be recorded of a prompt: its length, and a keyed hash where you want one.

    Equal prompts have equal hashes, which is what a cache report counts.

    Example:
        >>> prompt_fields("What is a fuse?")
        {'prompt_characters': 15}
    """
    fields: dict[str, Scalar] = {"prompt_characters": len(prompt)}
    if key is not None:
        fields["prompt_hash"] = keyed_hash(key, prompt)[:_CHARACTERS]
    return fields
