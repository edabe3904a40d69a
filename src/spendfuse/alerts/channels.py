"""The table of channels: a ladder's ``channels`` are its keys. A new one is a file and a line.

E-mail stands last, so that its mail can say what went wrong on the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from spendfuse.alerts import slack, sns
from spendfuse.alerts.channel import Channel, Wiring

CHANNELS: Mapping[str, Callable[[Wiring], Channel | None]] = {
    "slack": slack.open_channel,
    "email": sns.open_channel,
}


def open_channels(wiring: Wiring) -> dict[str, Channel]:
    """Return the channels that are set up, in the table's order."""
    opened = {name: open_channel(wiring) for name, open_channel in CHANNELS.items()}
    return {name: channel for name, channel in opened.items() if channel is not None}
