"""Slack, through an incoming webhook.

The webhook's URL is a password: whoever has it can post. It stands in no log, no repr and
no error, and the SDK's own log, which prints it, is kept shut.
"""

from __future__ import annotations

import ipaddress
import logging
import re
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from slack_sdk.errors import SlackClientError
from slack_sdk.webhook import WebhookClient, WebhookResponse

from spendfuse.alerts.channel import Channel, RefusedError, UndeliveredError, Wiring
from spendfuse.alerts.incident import Story
from spendfuse.alerts.rendering import slack_message, slack_text
from spendfuse.alerts.secrets_manager import UrlSecret
from spendfuse.errors import SettingsError, UnavailableError

_LONGEST_WAIT_SECONDS = 900
_TOO_MANY_REQUESTS = 429
_PRINTABLE_ASCII = re.compile(r"[!-~]+")


class SlackChannel:
    """One webhook; it never waits and never tries twice by itself."""

    def __init__(self, webhook_url: str, timeout_seconds: float = 10) -> None:
        """Take the webhook's URL: https, or http to this machine.

        Raises:
            SettingsError: any other URL; the error does not repeat it.
        """
        if not _is_safe(webhook_url):
            raise SettingsError("the Slack webhook is no https:// URL")
        # A logger of its own without a parent: at DEBUG the SDK would print the URL.
        quiet = logging.Logger("slack", level=logging.CRITICAL + 1)  # noqa: LOG001
        self._client = WebhookClient(
            webhook_url,
            timeout=timeout_seconds,  # type: ignore[arg-type]  # urllib takes fractions too
            logger=quiet,
            retry_handlers=[],
        )

    def deliver(self, story: Story) -> None:
        """Post the story; one that Slack finds malformed goes again as one plain line.

        Raises:
            UndeliveredError: Slack is busy, ill or out of reach.
            RefusedError: Slack won't take even the line: the webhook is gone, or wrong.
        """
        answer = self._post(slack_message(story))
        if _is_taken(answer):
            return
        answer = self._post({"text": slack_text(story)})
        if not _is_taken(answer):
            raise RefusedError(f"Slack refuses the message: HTTP {answer.status_code}")

    def _post(self, message: dict[str, Any]) -> WebhookResponse:
        try:
            answer = self._client.send_dict(message)
        except (OSError, HTTPException, SlackClientError, ValueError, LookupError) as error:
            # ValueError, LookupError: an answer in no known encoding. The error's text could
            # hold the URL, so only its kind is told.
            kind = type(error).__name__
            raise UndeliveredError(f"Slack can't be reached: {kind}") from None
        if answer.status_code == _TOO_MANY_REQUESTS:
            raise UndeliveredError("Slack is busy", retry_after_seconds=_retry_after(answer))
        if not _is_taken(answer) and not _is_final(answer):
            raise UndeliveredError(f"Slack is ill: HTTP {answer.status_code}")
        return answer


class SecretSlackChannel:
    """The webhook that a secret holds; a secret changed meanwhile is noticed when it matters."""

    def __init__(self, secret: UrlSecret, timeout_seconds: float = 10) -> None:
        self._secret = secret
        self._timeout_seconds = timeout_seconds

    def deliver(self, story: Story) -> None:
        """Post the story.

        Raises:
            UndeliveredError: Slack or Secrets Manager can't be reached for now.
            RefusedError: there is no usable webhook.
        """
        url = self._url()
        try:
            self._post(url, story)
        except RefusedError:
            self._secret.forget()
            fresh_url = self._url()
            if fresh_url == url:
                raise
            self._post(fresh_url, story)

    def _post(self, url: str, story: Story) -> None:
        try:
            channel = SlackChannel(url, self._timeout_seconds)
        except SettingsError as error:
            raise RefusedError(str(error)) from error
        channel.deliver(story)

    def _url(self) -> str:
        try:
            return self._secret.url()
        except SettingsError as error:
            raise RefusedError(str(error)) from error
        except UnavailableError as error:
            raise UndeliveredError(str(error)) from error


def open_channel(wiring: Wiring) -> Channel | None:
    """Return the channel, or None where no webhook's secret is configured."""
    name = wiring.settings.get("SLACK_WEBHOOK_SECRET", "")
    if not name:
        return None
    return SecretSlackChannel(UrlSecret(wiring.client("secretsmanager"), name, now=wiring.now))


def _is_safe(url: str) -> bool:
    if not _PRINTABLE_ASCII.fullmatch(url):
        return False
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and _is_here(host)))


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_taken(answer: WebhookResponse) -> bool:
    return 200 <= answer.status_code < 300  # noqa: PLR2004 - HTTP's own classes


def _is_final(answer: WebhookResponse) -> bool:
    return 400 <= answer.status_code < 500  # noqa: PLR2004


def _retry_after(answer: WebhookResponse) -> int | None:
    text = str(answer.headers.get("Retry-After") or "").strip()
    if not re.fullmatch(r"[0-9]{1,9}", text):
        return None
    return min(int(text), _LONGEST_WAIT_SECONDS)
