"""boto3 clients wired to the sandbox by an environment, without touching this process's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from boto3.session import Session
from botocore.config import Config
from botocore.session import Session as BotocoreSession


def aws_client(service: str, environment: Mapping[str, str]) -> Any:
    """Return a client with timeouts and retries that suit a server on this machine."""
    # Nothing of this process's own settings: no profile, and no files to look for one in.
    without_profile = {
        "profile": (None, None, None, None),
        "config_file": (None, None, environment["AWS_CONFIG_FILE"], None),
        "credentials_file": (None, None, environment["AWS_SHARED_CREDENTIALS_FILE"], None),
    }
    session = Session(
        botocore_session=BotocoreSession(without_profile),
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_REGION"],
    )
    return session.client(
        service,
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        verify=environment["AWS_CA_BUNDLE"],
        config=Config(
            connect_timeout=5,
            read_timeout=60,
            retries={"mode": "standard", "max_attempts": 3},
            s3={"addressing_style": "path"},
            proxies={},
        ),
    )
