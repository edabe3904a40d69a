"""What a forked child begins anew: locks that a thread held, records that are its parent's."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable


def renew_after_fork(begin: Callable[[], None]) -> None:
    """Call the bound method ``begin`` in each forked child, as long as its object lives."""
    if hasattr(os, "register_at_fork"):
        # Weakly, because a hook can't be taken back.
        reference = weakref.WeakMethod(begin)
        os.register_at_fork(after_in_child=lambda: _call(reference))


def _call(reference: weakref.WeakMethod[Callable[[], None]]) -> None:
    begin = reference()
    if begin is not None:
        begin()
