"""What a channel is: a place that takes an alert's story, or says why it did not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from spendfuse.alerts.incident import Story
from spendfuse.errors import SpendfuseError, UnavailableError


class UndeliveredError(UnavailableError):
    """The channel can't take it now; the same message may be taken later."""

    def __init__(self, message: str, *, retry_after_seconds: int | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        """How long the channel asked us to wait; None if it did not say."""


class RefusedError(SpendfuseError):
    """The channel won't take it until somebody mends something."""


class Channel(Protocol):
    """Somewhere people read.

    Raises:
        UndeliveredError: not taken; try again later.
        RefusedError: not taken, and trying again alone won't help.
    """

    def deliver(self, story: Story) -> None: ...


@dataclass(frozen=True, slots=True)
class Wiring:
    """What a channel may be made of."""

    client: Callable[[str], Any]
    """Makes a boto3 client, e.g. ``client("sns")``."""
    settings: Mapping[str, str]
    """The function's environment."""
    now: Callable[[], datetime]
