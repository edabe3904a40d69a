"""The places whose keys the fuse can disable: one file each, and its line in the table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from spendfuse.errors import SettingsError
from spendfuse.fuse.key import KeyStore
from spendfuse.fuse.keys.api_gateway import ApiGatewayKeys


@dataclass(frozen=True, slots=True)
class KeyStoreKind:
    """How to open a key store: the client it needs, and what is made of it."""

    service: str
    open: Callable[[Any], KeyStore]


KEY_STORES: Mapping[str, KeyStoreKind] = {
    "api_gateway": KeyStoreKind("apigateway", ApiGatewayKeys),
}


def open_key_stores(names: Iterable[str], client: Callable[[str], Any]) -> tuple[KeyStore, ...]:
    """Return the named stores, each over a client of its service.

    Raises:
        SettingsError: names the store that this version does not know.
    """
    names = tuple(names)
    unknown = [name for name in names if name not in KEY_STORES]
    if unknown:
        raise SettingsError(f"unknown key stores {unknown}; there are: {sorted(KEY_STORES)}")
    kinds = [KEY_STORES[name] for name in names]
    return tuple(kind.open(client(kind.service)) for kind in kinds)
