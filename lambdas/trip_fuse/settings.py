"""What trip_fuse reads of its environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lambdas.settings import read

_NAMES = ("FUSE_TABLE", "ALERTS_TOPIC_ARN", "TRIPS_TOPIC_ARN", "TRIP_QUEUE_URL")


@dataclass(frozen=True, slots=True)
class Settings:
    fuse_table: str
    alerts_topic_arn: str
    trips_topic_arn: str
    trip_queue_url: str

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> Settings:
        return cls(**read(environment, _NAMES))
