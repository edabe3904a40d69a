"""One key switched off or on, and looked at afterwards: a store's yes is not yet a fact."""

from __future__ import annotations

from dataclasses import dataclass

from spendfuse.errors import SpendfuseError
from spendfuse.fuse.key import KeyStore, NoSuchKeyError
from spendfuse.fuse.records import KeyStatus


@dataclass(frozen=True, slots=True)
class Switched:
    status: KeyStatus
    note: str = ""


def switch_off(store: KeyStore, key_id: str) -> Switched:
    """Disable the key and read it back.

    ``disabling`` is returned when neither the call nor the key gave a clear answer: it may
    be disabled, so a restore has to look at it.
    """
    trouble = ""
    try:
        store.disable(key_id)
    except NoSuchKeyError:
        return Switched("gone")
    except SpendfuseError as error:
        trouble = str(error)
    try:
        enabled = store.key(key_id).enabled
    except NoSuchKeyError:
        return Switched("gone")
    except SpendfuseError as error:
        return Switched("disabling", trouble or str(error))
    if enabled:
        return Switched("failed", trouble or "the store said yes, but the key still works")
    return Switched("disabled")


def switch_on(store: KeyStore, key_id: str) -> Switched:
    """Enable the key if it is not, and read it back; ``disabled`` with a note is a failure."""
    trouble = ""
    try:
        if store.key(key_id).enabled:
            return Switched("restored")
        store.enable(key_id)
        trouble = "the store said yes, but the key is still disabled"
        enabled = store.key(key_id).enabled
    except NoSuchKeyError:
        return Switched("gone")
    except SpendfuseError as error:
        return Switched("disabled", str(error))
    return Switched("restored") if enabled else Switched("disabled", trouble)
