"""ASGI middleware: tracks the LLM calls of each request, and costs the request almost nothing.

A route says what it used in the response header X-LLM-Usage, or with ``report_usage`` from
anywhere in it, the end of its stream included. Reading, pricing and tracking wait until the
response is out.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from spendfuse.budget import ANONYMOUS
from spendfuse.errors import SettingsError
from spendfuse.metering.attribution import NOBODY, current_attribution, extended
from spendfuse.metering.endpoint import Endpoints
from spendfuse.metering.integrations.meter import Meter, checked_meter
from spendfuse.metering.record import Status
from spendfuse.metering.reporting import MeterReports, Reported
from spendfuse.metering.usage_header import NAME, read_usage_header

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


_METERED = frozenset(("http", "websocket"))
_SERVER_ERROR = 500
_LENGTH = len(NAME)
_READABLE = (bytes, bytearray, memoryview, str)
_WITH_HEADERS = frozenset(
    (
        "http.response.start",
        "http.response.trailers",
        "websocket.accept",
        "websocket.http.response.start",
    )
)
_LAST = frozenset(("http.response.body", "http.response.pathsend", "http.response.zerocopysend"))
"""Messages that end a response, unless they say that more of the body comes."""


class UsageMiddleware:
    """Tracks what the requests of ``app`` report, and removes the header X-LLM-Usage.

    Each record says the user and the endpoint (the route's template, see ``endpoint``), unless
    ``attributed()`` said them already. What was reported in a request that then failed or was
    cancelled is recorded with that status. A call that the header and ``report_usage`` both tell
    of counts twice: use one of them.

    Args:
        app: Any ASGI app.
        tracker: Where the calls go.
        user: Tells the user of a request from its scope, after the app has run; None is
            "anonymous". Without it, ``request.state.user_id`` as the app has set it.

    Example:
        >>> app.add_middleware(UsageMiddleware, tracker=tracker)  # doctest: +SKIP

    Raises:
        SettingsError: ``tracker`` is none, or ``user`` is no plain function.
    """

    def __init__(
        self, app: App, *, tracker: Meter, user: Callable[[Scope], str | None] | None = None
    ) -> None:
        if user is not None and (not callable(user) or inspect.iscoroutinefunction(user)):
            raise SettingsError(
                f"user must be a plain function from the request's scope to a user id, got {user!r}"
            )
        self.app = app
        self.tracker = checked_meter(tracker)
        self._user = user
        self._endpoints = Endpoints()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in _METERED:
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(self, scope, receive, send)
        with exchange:
            try:
                await self.app(scope, exchange.receive, exchange.send)
            except BaseException as error:
                exchange.end(error)
                raise
            exchange.end(None)

    def user_of(self, scope: Scope) -> str:
        """Return who made the request, as text; ANONYMOUS if nobody knows. Raises nothing."""
        try:
            user = user_in_state(scope) if self._user is None else self._user(scope)
            return ANONYMOUS if user is None else str(user) or ANONYMOUS
        except Exception as error:  # noqa: BLE001 (the app's code, while its request ends)
            self.tracker.refuse(f"the user of a request can't be told: {type(error).__name__}")
            return ANONYMOUS

    def endpoint_of(self, scope: Scope) -> str:
        return self._endpoints.of(scope)


def user_in_state(scope: Scope) -> object:
    """Return ``request.state.user_id``; None where nobody has set it."""
    state = scope.get("state")
    if isinstance(state, Mapping):
        return state.get("user_id")
    return getattr(state, "user_id", None)


class _Exchange(MeterReports):
    """A request and its response, and the collector of what is reported for it."""

    __slots__ = (
        "_error_type",
        "_has_client_left",
        "_header_attribution",
        "_header_values",
        "_is_complete",
        "_middleware",
        "_receive",
        "_scope",
        "_send",
        "_status",
        "_who",
    )
    tracker: Meter

    def __init__(
        self, middleware: UsageMiddleware, scope: Scope, receive: Receive, send: Send
    ) -> None:
        # Not through super(): this runs in every request, and there it would be felt.
        self.tracker = middleware.tracker
        self._is_closed = False
        self._middleware = middleware
        self._scope = scope
        self._receive = receive
        self._send = send
        self._status: Status = "ok"
        self._error_type: str | None = None
        # A websocket has no end that would be waited for.
        self._is_complete = scope["type"] == "websocket"
        self._has_client_left = False
        self._header_values: tuple[bytes | str, ...] = ()
        self._header_attribution = NOBODY
        self._who: Mapping[str, str] | None = None
        # So that an inner middleware that copies the scope still tells us the user.
        scope.setdefault("state", {})

    async def receive(self) -> Message:
        message = await self._receive()
        if message.get("type") == "http.disconnect" and not self._is_complete:
            self._has_client_left = True
        return message

    async def send(self, message: Message) -> None:
        try:
            # A chunk of a stream gets through with this one question.
            if message.get("more_body"):
                await self._send(message)
                return
            if message.get("type") in _WITH_HEADERS:
                message = self._without_usage(message)
            await self._send(message)
        except OSError:
            self._has_client_left = True
            raise
        self._sent(message)

    def _without_usage(self, message: Message) -> Message:
        """Take the usage out of a copy: apps may send one message many times."""
        status = message.get("status", 0)
        if isinstance(status, int) and status >= _SERVER_ERROR:
            self._status, self._error_type = "error", f"HTTP {int(status)}"
        given = message.get("headers")
        if not given:
            return message
        headers = given if isinstance(given, list) else list(given)
        try:
            found = [each[1] for each in headers if len(each[0]) == _LENGTH and _is_usage(each)]
            if found:
                headers = [
                    each for each in headers if len(each[0]) != _LENGTH or not _is_usage(each)
                ]
        except (AttributeError, LookupError, TypeError):
            # These are no headers, which the server will say.
            found = []
        if found:
            self._keep(found)
        return message if headers is given else {**message, "headers": headers}

    def _keep(self, values: list[Any]) -> None:
        # What an early response (1xx) said, the final one says again: the last one holds.
        self._header_values = tuple(v if isinstance(v, str) else bytes(v) for v in values)
        self._header_attribution = current_attribution()

    def _sent(self, message: Message) -> None:
        if message.get("type") in _LAST:
            self._is_complete = True
            if self._has_client_left:
                self._status, self._error_type = "cancelled", None
        # A websocket may last for hours, so it hands on message by message.
        if self._is_complete and (self or self._header_values):
            self._hand_all_on()

    def end(self, error: BaseException | None) -> None:
        """Hear how the app ended, and hand on whatever is left."""
        if error is not None:
            self._judge(error)
        elif not self._is_complete:
            # Nothing else lets an app return half-way.
            self._status, self._error_type = "cancelled", None
        self._is_closed = True
        if self or self._header_values:
            self._hand_all_on()

    def _judge(self, error: BaseException) -> None:
        if self._has_client_left or not isinstance(error, Exception):
            self._status, self._error_type = "cancelled", None
        else:
            self._status, self._error_type = "error", type(error).__name__

    def _hand_all_on(self) -> None:
        if self._header_values:
            values, self._header_values = self._header_values, ()
            found = read_usage_header(values, self._header_attribution)
            for reason in found.refused:
                self.tracker.refuse(reason)
            for reported in found.reports:
                self.append(reported)
        self.drain()

    def hand_on(self, reported: Reported) -> None:
        try:
            known = reported.attribution.attributes
            missing = {k: v for k, v in self._who_and_where().items() if k not in known}
            status, error_type = reported.status, reported.error_type
            if status == "ok":
                status, error_type = self._status, self._error_type
            reported = reported._replace(
                attribution=extended(reported.attribution, missing),
                status=status,
                error_type=error_type,
            )
            self.tracker.track_quietly(reported)
        except Exception as error:  # noqa: BLE001 (the request must end as the app ended it)
            self.tracker.refuse(f"a request's usage can't be tracked: {type(error).__name__}")

    def _who_and_where(self) -> Mapping[str, str]:
        if self._who is None:
            self._who = {
                "user": self._middleware.user_of(self._scope),
                "endpoint": self._middleware.endpoint_of(self._scope),
            }
        return self._who


def _is_usage(header: Any) -> bool:
    # Any other value is the server's to refuse: bytes() of a number would be as many zeros.
    return bool(header[0].lower() == NAME) and isinstance(header[1], _READABLE)
