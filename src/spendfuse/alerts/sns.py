"""E-mail: finished plain text onto the topic that the e-mail subscribers sit on."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from spendfuse.alerts.channel import Channel, RefusedError, UndeliveredError, Wiring
from spendfuse.alerts.incident import Story
from spendfuse.alerts.rendering import mail
from spendfuse.errors import SettingsError

_MENDABLE = {
    "AuthorizationError",
    "InvalidParameter",
    "InvalidParameterValue",
    "KMSAccessDenied",
    "KMSDisabled",
    "KMSNotFound",
    "NotFound",
}


class MailTopic:
    """The SNS topic of the e-mail subscribers."""

    def __init__(self, client: Any, topic_arn: str) -> None:
        self._client = client
        self._topic_arn = topic_arn

    def deliver(self, story: Story) -> None:
        """Publish the story as a mail.

        Raises:
            UndeliveredError: SNS can't take it now.
            RefusedError: the topic or the right to publish is missing.
        """
        message = mail(story)
        try:
            self._client.publish(
                TopicArn=self._topic_arn, Subject=message.subject, Message=message.body
            )
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in _MENDABLE:
                raise RefusedError(f"SNS refuses the mail: {code}") from error
            raise UndeliveredError(f"SNS can't take the mail now: {code}") from error
        except BotoCoreError as error:
            raise UndeliveredError(f"SNS can't be reached: {error}") from error


def open_channel(wiring: Wiring) -> Channel:
    """Return the channel.

    Raises:
        SettingsError: the topic is not in the environment.
    """
    topic_arn = wiring.settings.get("MAIL_TOPIC_ARN", "")
    if not topic_arn:
        raise SettingsError("set MAIL_TOPIC_ARN in the function's environment")
    return MailTopic(wiring.client("sns"), topic_arn)
