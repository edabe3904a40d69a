"""What publish_gauges reads of its environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lambdas.settings import read


@dataclass(frozen=True, slots=True)
class Settings:
    ledger_table: str
    mail_topic_arn: str

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> Settings:
        return cls(**read(environment, ("LEDGER_TABLE", "MAIL_TOPIC_ARN")))
