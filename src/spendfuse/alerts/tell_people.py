"""Tell an alert on each of its channels, once, however often it is delivered.

A channel that fails stops no other. When one won't take an alert, e-mail stands in for it
and says so: an alert that nobody hears is the one thing that may not happen.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from math import ceil

from spendfuse.alerts.alert import Alert
from spendfuse.alerts.channel import Channel, RefusedError, UndeliveredError
from spendfuse.alerts.incident import Incidents, Lease, Story, story
from spendfuse.alerts.outlook import outlook
from spendfuse.definitions import Definitions
from spendfuse.errors import SpendfuseError

STAND_IN = "email"
PATIENT_ATTEMPTS = 6
"""From this attempt on, about a minute after the first, e-mail stands in for a silent channel."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """A channel on which the alert is still to be told."""

    channel: str
    reason: str
    retry_after_seconds: int | None = None
    is_refused: bool = False
    """Whether only somebody's mending helps."""


@dataclass(frozen=True)
class TellPeople:
    """The use case of ``notify``."""

    incidents: Incidents
    channels: Mapping[str, Channel]
    """Those that are set up; the stand-in last."""
    definitions: Definitions
    now: Callable[[], datetime]

    def __call__(
        self, alert: Alert, *, attempt: int, resting: dict[str, UndeliveredError]
    ) -> list[Failure]:
        """Tell ``alert`` wherever it has not been told; return where it could not be.

        Args:
            alert: What to tell.
            attempt: How often it was delivered to us, this time included.
            resting: Channels that have just failed, and are left alone by the rest of a batch.

        Raises:
            SpendfuseError: the incident memory is out of reach; nothing was told.
        """
        tale = story(alert, self.incidents.remember(alert), outlook(alert, self.definitions))
        notes = self._notes_on_missing(alert)
        failures = []
        for name, channel in self.channels.items():
            if name not in alert.channels and not (name == STAND_IN and notes):
                continue
            failure = self._tell(name, channel, replace(tale, notes=tuple(notes)), resting)
            if failure is not None:
                failures.append(failure)
                if failure.is_refused or attempt >= PATIENT_ATTEMPTS:
                    notes.append(f"Channel {name} could not be reached: {failure.reason}.")
        return failures

    def _notes_on_missing(self, alert: Alert) -> list[str]:
        missing = [name for name in alert.channels if name not in self.channels]
        for name in missing:
            logger.warning("alert %s: channel %s is not set up", alert.id, name)
        return [
            f"Channel {name} is not set up in this deployment: this is by e-mail instead."
            for name in missing
        ]

    def _tell(
        self, name: str, channel: Channel, tale: Story, resting: dict[str, UndeliveredError]
    ) -> Failure | None:
        verdict = self.incidents.claim(tale.alert, name)
        if verdict == "sent":
            return None
        if not isinstance(verdict, Lease):
            seconds = ceil((verdict - self.now()).total_seconds())
            return Failure(name, "another delivery is sending it", max(seconds, 1))
        try:
            if name in resting:
                raise resting[name]
            channel.deliver(tale)
        except UndeliveredError as error:
            resting[name] = error
            failure = Failure(name, str(error), error.retry_after_seconds)
        except RefusedError as error:
            failure = Failure(name, str(error), is_refused=True)
        except Exception:
            # A fault of ours in one channel may not keep the alert from the others.
            logger.exception("alert %s: channel %s failed", tale.alert.id, name)
            failure = Failure(name, "a fault in spendfuse, see the log", is_refused=True)
        else:
            self._mark_sent(tale.alert, name)
            return None
        self._release(tale.alert, name, verdict)
        return failure

    def _mark_sent(self, alert: Alert, name: str) -> None:
        try:
            self.incidents.mark_sent(alert, name)
        except SpendfuseError as error:
            # It was told. To fail now would be to tell it again.
            logger.warning("alert %s: sent on %s, not remembered: %s", alert.id, name, error)

    def _release(self, alert: Alert, name: str, lease: Lease) -> None:
        try:
            self.incidents.release(alert, name, lease)
        except SpendfuseError as error:
            # It ends by itself within a minute.
            logger.warning("alert %s: lease on %s not released: %s", alert.id, name, error)
