"""The tracker that decorated functions use when they were given none.

Functions are decorated while modules are imported, and then there is no tracker yet. So the app
says once, when it starts, which one holds. Nothing is made by itself.
"""

from __future__ import annotations

import threading

from spendfuse.metering.integrations.meter import Meter, checked_meter


class _Slot:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.tracker: Meter | None = None


_slot = _Slot()


def set_default_tracker(tracker: Meter | None) -> Meter | None:
    """Use ``tracker`` for decorated functions from their next call on; None for no one.

    Returns the one that held before, so that a test can put it back. All threads see the change;
    whoever made the tracker closes it.

    Raises:
        SettingsError: ``tracker`` is none.
    """
    if tracker is not None:
        checked_meter(tracker)
    with _slot.lock:
        before, _slot.tracker = _slot.tracker, tracker
    return before


def default_tracker() -> Meter | None:
    """Return the tracker that holds now."""
    return _slot.tracker
