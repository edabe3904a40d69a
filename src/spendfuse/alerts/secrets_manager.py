"""A secret in AWS Secrets Manager, read by name when it is needed and kept for minutes."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from spendfuse.errors import SettingsError, UnavailableError

_MAX_AGE = timedelta(minutes=5)
# AWS answers with either code for a missing one: a policy for one secret's ARN, which ends in
# random characters, does not match a name that isn't there.
_MISSING = (
    "the secret {name} is missing, or the function's role may not read it; create it with "
    "`aws secretsmanager create-secret --name {name} --secret-string file://webhook.txt`"
)
_MENDABLE = {
    "ResourceNotFoundException": _MISSING,
    "AccessDeniedException": _MISSING,
    "InvalidRequestException": (
        "the secret {name} is marked for deletion; keep it with "
        "`aws secretsmanager restore-secret --secret-id {name}`"
    ),
    "DecryptionFailure": (
        "the secret {name} can't be decrypted; let the function's role use its KMS key"
    ),
}


class UrlSecret:
    """A URL kept as a secret: bare, or as JSON ``{"url": "https://…"}``."""

    def __init__(self, client: Any, name: str, *, now: Callable[[], datetime]) -> None:
        self._client = client
        self._name = name
        self._now = now
        self._url = ""
        self._read_at: datetime | None = None

    def url(self) -> str:
        """Return the URL, at most five minutes old.

        Raises:
            SettingsError: the secret is missing, it can't be read, or it is empty.
            UnavailableError: Secrets Manager did not answer.
        """
        if self._read_at is None or self._now() - self._read_at >= _MAX_AGE:
            self._url = self._read()
            self._read_at = self._now()
        return self._url

    def forget(self) -> None:
        """Read it anew next time: it may have been changed."""
        self._read_at = None

    def _read(self) -> str:
        try:
            answer = self._client.get_secret_value(SecretId=self._name)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in _MENDABLE:
                raise SettingsError(_MENDABLE[code].format(name=self._name)) from error
            raise UnavailableError(f"secret {self._name!r} can't be read now: {code}") from error
        except BotoCoreError as error:
            raise UnavailableError(f"secret {self._name!r} can't be read now: {error}") from error
        url = _url_in(answer.get("SecretString") or "")
        if not url:
            raise SettingsError(
                f"secret {self._name!r} holds no URL: put the URL itself into it, or "
                '{"url": "https://…"}'
            )
        return url


def _url_in(text: str) -> str:
    text = text.strip()
    if not text.startswith("{"):
        return text
    try:
        raw = json.loads(text)
    except ValueError:
        return ""
    url = raw.get("url")
    return url.strip() if isinstance(url, str) else ""
