"""Who was subscribed to the mail topic, and never confirmed it."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from spendfuse.errors import UnavailableError

_PENDING = "PendingConfirmation"
"""What stands for the ARN until somebody confirms; of a deleted subscription it is ``Deleted``."""


class MailTopic:
    """Asks SNS for the topic's subscriptions."""

    def __init__(self, client: Any, topic_arn: str) -> None:
        self._client = client
        self._topic_arn = topic_arn

    def unconfirmed(self) -> int:
        """Return how many subscriptions wait to be confirmed.

        Raises:
            UnavailableError: SNS does not say.
        """
        try:
            pages = self._client.get_paginator("list_subscriptions_by_topic").paginate(
                TopicArn=self._topic_arn
            )
            return sum(
                each["SubscriptionArn"] == _PENDING
                for page in pages
                for each in page["Subscriptions"]
            )
        except (ClientError, BotoCoreError) as error:
            raise UnavailableError(f"the mail topic can't be read: {error}") from error
