"""What CloudWatch sends when an alarm changes its state: JSON, in two shapes.

A metric alarm has a ``Trigger``, a composite one an ``AlarmRule`` instead. Descriptions
may be null or absent, and alarms made long ago have no ARN in their messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast, get_args

from spendfuse.clock import parse_utc
from spendfuse.errors import InputError

AlarmState = Literal["OK", "ALARM", "INSUFFICIENT_DATA"]


@dataclass(frozen=True, slots=True)
class AlarmNotice:
    """A change of one alarm's state."""

    name: str
    arn: str
    """Or, in messages without one, ``<account>/<region>/<name>``."""
    account: str
    region: str
    """As CloudWatch words it, e.g. ``US East (N. Virginia)``."""
    state: AlarmState
    old_state: str
    reason: str
    changed_at: datetime
    description: str
    composite: bool
    children: tuple[str, ...] = ()
    """ARNs of the alarms that set off a composite one."""


def alarm_notice(raw: Mapping[str, Any]) -> AlarmNotice:
    """Read the JSON object of a CloudWatch alarm message.

    Raises:
        InputError: not such a message.
    """
    state = raw.get("NewStateValue")
    if state not in get_args(AlarmState):
        raise InputError(f"{state!r} is no state of an alarm")
    name = _text(raw, "AlarmName")
    if not name:
        raise InputError("the alarm has no name")
    account, region = _text(raw, "AWSAccountId"), _text(raw, "Region")
    return AlarmNotice(
        name=name,
        arn=_text(raw, "AlarmArn") or f"{account}/{region}/{name}",
        account=account,
        region=region,
        state=cast("AlarmState", state),
        old_state=_text(raw, "OldStateValue"),
        reason=_text(raw, "NewStateReason"),
        changed_at=parse_utc(raw.get("StateChangeTime")),
        description=_text(raw, "AlarmDescription"),
        composite="AlarmRule" in raw,
        children=_children(raw.get("TriggeringChildren")),
    )


def _text(raw: Mapping[str, Any], key: str) -> str:
    value = raw.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InputError(f"{key} is {value!r}, not text")
    return well_formed(value)


def well_formed(text: str) -> str:
    """Return ``text`` fit to be sent: half a surrogate pair, which JSON can carry, can't be."""
    return text.encode("utf-8", "replace").decode()


def _children(raw: object) -> tuple[str, ...]:
    children = raw if isinstance(raw, list) else []
    arns = (child.get("Arn") for child in children if isinstance(child, dict))
    return tuple(well_formed(arn) for arn in arns if isinstance(arn, str))
