"""What the notify function reads from its environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lambdas.settings import read

_NAMES = ("INCIDENT_TABLE", "MAIL_TOPIC_ARN", "SLACK_WEBHOOK_SECRET", "NOTIFY_QUEUE_URL")


@dataclass(frozen=True, slots=True)
class Settings:
    """The environment of ``notify``."""

    incident_table: str
    mail_topic_arn: str
    slack_webhook_secret: str
    """The secret's name; empty where Slack is not set up."""
    notify_queue_url: str

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> Settings:
        """Read the settings.

        Raises:
            SettingsError: names every variable that is missing.
        """
        return cls(**read(environment, _NAMES))
