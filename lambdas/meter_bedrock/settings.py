"""What meter_bedrock reads of its environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lambdas.settings import read


@dataclass(frozen=True, slots=True)
class Settings:
    usage_queue_url: str

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> Settings:
        return cls(**read(environment, ("USAGE_QUEUE_URL",)))
