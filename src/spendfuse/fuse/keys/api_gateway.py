"""Keys of Amazon API Gateway's REST APIs.

Their values are neither asked for nor kept. All of an account's calls to API Gateway share ten
requests a second, which AWS does not raise; deployments and other tools need some of them, so
calls are spaced. What may pass (throttling, a fault of the service, a broken connection) is tried
again: every call can be repeated. It stops after some seconds, so that whoever has to be done at a
certain time knows how long a call can take.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from spendfuse.errors import SettingsError, SpendfuseError, UnavailableError
from spendfuse.fuse.key import Key, NoSuchKeyError

REQUESTS_PER_SECOND = 8
PAGE = 500
"""The most keys that one GetApiKeys call returns."""
RETRY_WITHIN_SECONDS = 10
"""No attempt begins later than this after the call."""
_TRIES = 6
_INTERNAL_SERVER_ERROR = 500
_THROTTLED = {"TooManyRequestsException", "ThrottlingException", "LimitExceededException"}
_OURS_TO_MEND = {
    "AccessDeniedException",
    "UnauthorizedException",
    "UnrecognizedClientException",
    "BadRequestException",
}


@dataclass
class Pace:
    """Spaces calls evenly; the clock and the sleep are handed in."""

    per_second: float = REQUESTS_PER_SECOND
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _next: float = field(default=float("-inf"), init=False)

    def wait(self) -> None:
        """Return when the next call may be made."""
        now = self.clock()
        if now < self._next:
            self.sleep(self._next - now)
        self._next = max(now, self._next) + 1 / self.per_second

    def back_off(self, attempt: int) -> None:
        self.sleep(_back_off_seconds(attempt))


def longest_call_seconds(request_seconds: float) -> float:
    """Return how long one call can take, where one request takes so long at most."""
    return RETRY_WITHIN_SECONDS + 1 / REQUESTS_PER_SECOND + request_seconds


def _back_off_seconds(attempt: int) -> float:
    """Return a quarter of a second, and twice as much after each further attempt."""
    return 2.0**attempt / 4


class ApiGatewayKeys:
    """The REST API keys of one account and region."""

    name = "api_gateway"

    def __init__(self, client: Any, pace: Pace | None = None) -> None:
        self._client = client
        self._pace = pace or Pace()

    def all_keys(self) -> list[Key]:
        request: dict[str, Any] = {"limit": PAGE, "includeValues": False}
        found: list[Key] = []
        while True:
            page = self._call("get_api_keys", **request)
            found += [self._key(item) for item in page.get("items", ())]
            if not page.get("position"):
                return found
            request["position"] = page["position"]

    def key(self, key_id: str) -> Key:
        return self._key(self._call("get_api_key", apiKey=key_id, includeValue=False))

    def disable(self, key_id: str) -> None:
        self._set_enabled(key_id, "false")

    def enable(self, key_id: str) -> None:
        self._set_enabled(key_id, "true")

    def _set_enabled(self, key_id: str, value: str) -> None:
        patch = {"op": "replace", "path": "/enabled", "value": value}
        self._call("update_api_key", apiKey=key_id, patchOperations=[patch])

    def _key(self, item: Mapping[str, Any]) -> Key:
        return Key(
            store=self.name,
            id=item["id"],
            name=item.get("name", ""),
            enabled=item.get("enabled", False),
            tags=dict(item.get("tags") or {}),
        )

    def _call(self, operation: str, **request: Any) -> Mapping[str, Any]:
        last_begin = self._pace.clock() + RETRY_WITHIN_SECONDS
        attempt = 0
        while True:
            self._pace.wait()
            try:
                answer: Mapping[str, Any] = getattr(self._client, operation)(**request)
            except (ClientError, BotoCoreError) as error:
                next_begin = self._pace.clock() + _back_off_seconds(attempt)
                is_last = attempt + 1 >= _TRIES or next_begin > last_begin
                if is_last or not _may_pass(error):
                    raise _error(error, request) from error
            else:
                return answer
            self._pace.back_off(attempt)
            attempt += 1


def _may_pass(error: ClientError | BotoCoreError) -> bool:
    if not isinstance(error, ClientError):
        return isinstance(error, HTTPClientError)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return _code(error) in _THROTTLED or status >= _INTERNAL_SERVER_ERROR


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _error(error: ClientError | BotoCoreError, request: Mapping[str, Any]) -> SpendfuseError:
    if not isinstance(error, ClientError):
        return UnavailableError(f"API Gateway can't be reached: {error}")
    if _code(error) == "NotFoundException":
        return NoSuchKeyError(f"API Gateway has no key {request.get('apiKey')}")
    if _code(error) in _OURS_TO_MEND:
        return SettingsError(f"API Gateway refused: {error}")
    if _code(error) in _THROTTLED:
        return UnavailableError(f"API Gateway refuses: too many requests: {error}")
    return UnavailableError(f"API Gateway did not answer: {error}")
