"""The few names that metrics are split by, bounded, because they come from requests.

Provider, model, feature and environment; never a user. Each distinct combination is a series
that a metrics store keeps, and CloudWatch bills.
"""

from __future__ import annotations

from threading import RLock
from typing import NamedTuple

from spendfuse.metering.attribution import MAX_ATTRIBUTE_BYTES, attribute_text
from spendfuse.metering.forks import renew_after_fork
from spendfuse.metering.record import Record

MAX_LABEL_SETS = 1000
OTHER = "other"
"""Stands for every name that came too late."""
NONE = "none"
"""Stands for a name that the call doesn't have: an empty label would be no label."""


class Labels(NamedTuple):
    provider: str
    model: str
    feature: str
    environment: str


_ALL_OTHER = Labels(OTHER, OTHER, OTHER, OTHER)


class BoundedLabels:
    """Gives a record its labels; past ``max_sets`` combinations the feature is ``other``.

    Combinations without their feature have as much room again; past that, all is ``other``. So
    there are never more than ``2 * max_sets + 1``, whatever requests bring.
    """

    def __init__(self, *, max_sets: int = MAX_LABEL_SETS) -> None:
        self._max_sets = max_sets
        self._known: dict[tuple[str, str, str | None, str | None], Labels] = {}
        self._coarse: set[Labels] = set()
        self._begin()
        renew_after_fork(self._begin)

    def _begin(self) -> None:
        self._learning = RLock()

    def of(self, record: Record) -> Labels:
        attributes = record.attributes
        key = (
            record.provider,
            record.model,
            attributes.get("feature"),
            attributes.get("environment"),
        )
        return self._known.get(key) or self._learn(key)

    def _learn(self, key: tuple[str, str, str | None, str | None]) -> Labels:
        labels = Labels(*(_label(name) for name in key))
        with self._learning:
            if len(self._known) < self._max_sets:
                # What is too long to be kept whole is kept cut, and learnt anew each time.
                kept = key if _is_short(key) else labels
                return self._known.setdefault(kept, labels)
            if labels in self._known:
                return labels
            coarse = labels._replace(feature=OTHER)
            if coarse in self._coarse or len(self._coarse) < self._max_sets:
                self._coarse.add(coarse)
                return coarse
        return _ALL_OTHER


def _label(name: str | None) -> str:
    return attribute_text(name) if name else NONE


def _is_short(key: tuple[str | None, ...]) -> bool:
    return all(name is None or len(name) <= MAX_ATTRIBUTE_BYTES for name in key)
