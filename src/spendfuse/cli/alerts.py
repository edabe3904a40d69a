"""``spendfuse alerts``: see that people would hear."""

from __future__ import annotations

import time
import uuid

import click
from botocore.exceptions import BotoCoreError, ClientError

from spendfuse.alerts.alert import Alert
from spendfuse.alerts.channels import CHANNELS
from spendfuse.alerts.dynamodb import DynamoIncidents
from spendfuse.cli.context import Context
from spendfuse.errors import UnavailableError

EXIT_NOT_DELIVERED = 3
"""Apart from 1 (an error) and 2 (wrong usage): a channel did not deliver in time."""
_POLL_SECONDS = 0.5


@click.group()
def alerts() -> None:
    """Try the channels on which people hear of the spend."""


@alerts.command()
@click.option(
    "--channel",
    "channels",
    multiple=True,
    type=click.Choice(sorted(CHANNELS)),
    help="Only this one. Can be given more than once. Default: all that are set up.",
)
@click.option("--wait", "wait_seconds", default=60, show_default=True, help="Seconds to wait.")
@click.pass_obj
def test(context: Context, channels: tuple[str, ...], wait_seconds: int) -> None:
    """Send a test alert the way that real ones go, and say which channels delivered it.

    It goes through the topic, the queue and the function. For e-mail, "delivered" means handed
    to AWS: an address that has not confirmed its subscription gets nothing.
    Exits with 3 when a channel has not delivered in time.

    \b
    Example:
        spendfuse alerts test
        spendfuse alerts test --channel slack --wait 20
    """
    outputs = context.outputs()
    alert = _test_alert(context, channels or tuple(outputs["AlertChannels"].split(",")))
    try:
        context.client("sns").publish(TopicArn=outputs["AlertsTopicArn"], Message=alert.to_json())
    except (BotoCoreError, ClientError) as error:
        raise UnavailableError(f"the topic of the alerts can't be reached: {error}") from error
    incidents = DynamoIncidents(
        context.client("dynamodb"), outputs["IncidentTableName"], now=context.now
    )
    missing = _await_delivery(incidents, alert, wait_seconds)
    for channel in alert.channels:
        delivered = "not delivered" if channel in missing else "delivered"
        click.echo(f"{channel:<6} {delivered}")
    if missing:
        click.echo(
            f"Not within {wait_seconds} s. The log of the notify function says why; until then "
            "the message is tried again by itself.",
            err=True,
        )
        raise SystemExit(EXIT_NOT_DELIVERED)


def _test_alert(context: Context, channels: tuple[str, ...]) -> Alert:
    return Alert(
        id=f"test/{uuid.uuid4()}",
        deployment=context.deployment,
        source="cli",
        severity="info",
        headline=f"Test alert of {context.deployment}: this channel works",
        at=context.now(),
        channels=channels,
        details=("Somebody ran `spendfuse alerts test`; there is nothing to do.",),
    )


def _await_delivery(incidents: DynamoIncidents, alert: Alert, seconds: int) -> frozenset[str]:
    """Return the channels that have not delivered within the time."""
    deadline = time.monotonic() + seconds
    while missing := frozenset(alert.channels) - incidents.sent_on(alert):
        if time.monotonic() >= deadline:
            break
        time.sleep(_POLL_SECONDS)
    return missing
