"""The inbox of another process, over its control API."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from spendfuse.errors import InputError, UnavailableError
from spendfuse.sandbox.inbox import slack_url
from spendfuse.sandbox.messages import Message

__all__ = ["InboxClient", "Message"]

_TIMEOUT_SECONDS = 10.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class InboxClient:
    """Reads the inbox at ``url`` and tells it how to answer."""

    url: str

    @property
    def slack_url(self) -> str:
        """A Slack webhook."""
        return slack_url(self.url)

    def messages(self, channel: str | None = None) -> list[Message]:
        """Return what was delivered, oldest first."""
        return self._listed("messages", channel)

    def refused(self, channel: str | None = None) -> list[Message]:
        """Return what was answered with an error, or not at all."""
        return self._listed("refused", channel)

    def wait_for(
        self, predicate: Callable[[Message], bool], timeout_seconds: float = 30.0
    ) -> Message:
        """Return the first delivered message, old ones included, that ``predicate`` accepts.

        Raises:
            UnavailableError: none came in time; the error lists what did.
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            delivered = self.messages()
            found = next((each for each in delivered if predicate(each)), None)
            if found is not None:
                return found
            if time.monotonic() > deadline:
                seen = ", ".join(_gist(each) for each in delivered) or "nothing"
                raise UnavailableError(
                    f"no such message within {timeout_seconds:g} s; the inbox has: {seen}"
                )
            time.sleep(_POLL_SECONDS)

    def answer(
        self,
        channel: str,
        *,
        status: int = 500,
        retry_after: int | None = None,
        hang_seconds: float = 0.0,
        times: int = 1,
    ) -> None:
        """Refuse the channel's next ``times`` messages.

        Raises:
            InputError: there is no such channel.
        """
        fault = {"status": status, "retry_after": retry_after, "hang_seconds": hang_seconds}
        self._ask("POST", "/answers", {"channel": channel, "times": times, **fault})

    def clear(self) -> None:
        """Forget all messages and faults."""
        self._ask("DELETE", "/messages")

    def _listed(self, kind: str, channel: str | None) -> list[Message]:
        query = f"?channel={channel}" if channel else ""
        return [Message(**each) for each in self._ask("GET", f"/messages{query}")[kind]]

    def _ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, method=method)  # noqa: S310 - our own
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=_TIMEOUT_SECONDS) as response:
                answer: dict[str, Any] = json.load(response)
                return answer
        except urllib.error.HTTPError as error:
            with error:
                raise InputError(error.read().decode(errors="replace")) from error
        except OSError as error:
            raise UnavailableError(f"the inbox at {self.url} does not answer: {error}") from error


def _gist(message: Message) -> str:
    body = message.body
    return f"{message.channel} {body.get('subject') or body.get('text') or sorted(body)}"
