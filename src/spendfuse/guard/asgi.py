"""ASGI middleware: one line that puts the guard, and the meter within it, around an app.

What is refused never reaches the app's routes. What a request has spent when it ends is settled
then, however it ends. A request that nobody asked to guard pays for one question about the fuse.
"""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from spendfuse.errors import InputError, SettingsError
from spendfuse.guard.errors import RefusedError
from spendfuse.guard.estimate import Dollars, amount_nano_usd
from spendfuse.guard.guard import Guard
from spendfuse.guard.reservation import Reservation
from spendfuse.metering.asgi import (
    App,
    Message,
    Receive,
    Scope,
    Send,
    UsageMiddleware,
    user_in_state,
)
from spendfuse.metering.attribution import (
    Scalar,
    current_attribution,
    enter,
    extended,
    leave,
)
from spendfuse.metering.integrations.meter import Meter

Estimate = Callable[[Scope], Dollars | None]
"""Tells from a request's scope how many dollars it may cost; None: it is not reserved."""
RESERVATION = "reservation"
"""The request's reservation is ``request.state.reservation`` for the app."""
TRY_AGAIN_LATER = 1013
"""The code with which a websocket is closed."""
_GUARDED = frozenset(("http", "websocket"))
_BEGINNINGS = frozenset(("http.response.start", "websocket.http.response.start"))
_DENIAL = "websocket.http.response"
_OPEN = frozenset((None, "websocket.accept", "websocket.send"))
_CLIENT_ERROR = 400


class GuardMiddleware:
    """Holds the budgets of ``guard`` around ``app``; with a ``tracker``, it meters the app as well.

    While the fuse is tripped, every request is answered with 503. A ``RefusedError`` that is
    raised anywhere in the app, before its response began, becomes an answer in JSON: 429 with
    the budget's figures, or 503. A websocket is refused the same way; one that was accepted
    already is closed with 1013.

    ``user``, ``attributes`` and ``estimate_usd`` are asked before the app runs, so the middleware
    that signs people in stands outside of this one. What they raise is the app's own error.

    Args:
        app: any ASGI app.
        guard: whose budgets hold.
        tracker: where the calls go, as for ``UsageMiddleware``, which then stands within.
        user: tells the user of a request from its scope; None is "anonymous". Without it,
            ``request.state.user_id``. It holds for all that is reserved and recorded within.
        attributes: tells more attributes of a request, such as its team, from its scope.
        estimate_usd: what a request may cost in dollars, or a function of the scope that tells;
            those for which it returns None are not reserved. By default, none is. An amount
            holds for every request: it is for an app of LLM routes only.
        always_open: paths that are passed on unasked, even while the fuse is tripped: those of
            health checks and metrics.

    Example:
        >>> app.add_middleware(GuardMiddleware, guard=guard, tracker=tracker)  # doctest: +SKIP

    Raises:
        SettingsError: ``guard`` or ``tracker`` is none, a function is no plain one, or
            ``estimate_usd`` is no amount in dollars.
    """

    def __init__(
        self,
        app: App,
        *,
        guard: Guard,
        tracker: Meter | None = None,
        user: Callable[[Scope], str | None] | None = None,
        attributes: Callable[[Scope], Mapping[str, Scalar]] | None = None,
        estimate_usd: Estimate | Dollars | None = None,
        always_open: Collection[str] = (),
    ) -> None:
        if not isinstance(guard, Guard):
            raise SettingsError(f"guard must be a Guard, got {type(guard).__name__}")
        self.app = app
        self.guard = guard
        self._metered = app if tracker is None else UsageMiddleware(app, tracker=tracker, user=user)
        self._user = _checked("user", user)
        self._attributes = _checked("attributes", attributes)
        self._knows_who = user is not None or attributes is not None
        self._estimate = _estimate(estimate_usd)
        if isinstance(always_open, str):
            raise SettingsError(f"always_open must be a list of paths, got {always_open!r}")
        self._always_open = frozenset(always_open)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in _GUARDED or scope["path"] in self._always_open:
            await self._metered(scope, receive, send)
            return
        said: Message | None = None

        # No coroutine of its own: a chunk of a stream gets through with one comparison.
        def listening(message: Message) -> Awaitable[None]:
            nonlocal said
            if said is None or said.get("type") not in _BEGINNINGS:
                said = message
            return send(message)

        try:
            await self._guarded(scope, receive, listening)
        except RefusedError as refused:
            if not await _is_answered(refused, scope, send, said):
                raise
        except BaseExceptionGroup as group:
            # A task group of the app's wraps what was refused in its tasks.
            only = _only_refusal(group)
            if only is None or not await _is_answered(only, scope, send, said):
                raise

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.guard.check_fuse_async()
        estimate = None if self._estimate is None else self._estimate(scope)
        if estimate is None and not self._knows_who:
            await self._metered(scope, receive, send)
            return
        # attributed() without its generator: this runs in every request of a signed-in user.
        token = enter(extended(current_attribution(), self._who(scope)))
        try:
            if estimate is None:
                await self._metered(scope, receive, send)
            else:
                await self._reserved(estimate, scope, receive, send)
        finally:
            leave(token)

    async def _reserved(
        self, estimate_usd: Dollars, scope: Scope, receive: Receive, send: Send
    ) -> None:
        held = await self.guard.reserve_async(estimate_usd)
        _show(held, scope)
        status = 0

        def listening(message: Message) -> Awaitable[None]:
            nonlocal status
            status = message.get("status", status)
            return send(message)

        failure: BaseException | None = None
        try:
            with held.listening():
                await self._metered(scope, receive, listening)
            if status >= _CLIENT_ERROR:
                failure = _FailedError(status)
        except BaseException as error:
            failure = error
            raise
        finally:
            await held.end_async(failure)

    def _who(self, scope: Scope) -> dict[str, Any]:
        who = {} if self._attributes is None else dict(self._attributes(scope))
        user = user_in_state(scope) if self._user is None else self._user(scope)
        return who if user is None else {**who, "user": user}


def _show(held: Reservation, scope: Scope) -> None:
    """Show the reservation to the app."""
    state = scope.setdefault("state", {})
    if isinstance(state, MutableMapping):
        state[RESERVATION] = held
    else:
        setattr(state, RESERVATION, held)


class _FailedError(Exception):
    """Stands for an answer of 4xx or 5xx: like any error, it releases what was not used."""


class Answer(NamedTuple):
    """What a client that was refused is sent."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def answer_to(refused: RefusedError) -> Answer:
    """Return the answer in JSON; Retry-After in whole seconds, and only where waiting helps."""
    # Indented, and with an end of line: people read it in terminals.
    body = json.dumps(refused.body(), indent=2).encode() + b"\n"
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    if refused.retry_after_seconds is not None:
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(refused.retry_after_seconds))))
    return Answer(refused.status_code, headers, body)


async def _is_answered(
    refused: RefusedError, scope: Scope, send: Send, said: Message | None
) -> bool:
    """Answer, unless it is too late for an answer."""
    began = None if said is None else said["type"]
    if scope["type"] == "http":
        kind = "http.response" if began not in _BEGINNINGS else None
    elif began is None and _DENIAL in (scope.get("extensions") or ()):
        kind = _DENIAL
    else:
        kind = "websocket.close" if began in _OPEN else None
    if kind is None:
        return False
    with suppress(OSError):  # the client left
        if kind == "websocket.close":
            await send({"type": kind, "code": TRY_AGAIN_LATER, "reason": refused.kind})
        else:
            status, headers, body = answer_to(refused)
            await send({"type": f"{kind}.start", "status": status, "headers": headers})
            await send({"type": f"{kind}.body", "body": body, "more_body": False})
    return True


def _only_refusal(group: BaseExceptionGroup[BaseException]) -> RefusedError | None:
    """Return the refusal of a group in which there is nothing else."""
    first: BaseException | None
    first, rest = group.split(RefusedError)
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first if rest is None and isinstance(first, RefusedError) else None


_Function = TypeVar("_Function", bound=Callable[..., Any] | None)


def _checked(name: str, function: _Function) -> _Function:
    if function is not None and (not callable(function) or inspect.iscoroutinefunction(function)):
        raise SettingsError(
            f"{name} must be a plain function of the request's scope, got {function!r}"
        )
    return function


def _estimate(estimate_usd: Estimate | Dollars | None) -> Estimate | None:
    if estimate_usd is None:
        return None
    if callable(estimate_usd):
        return _checked("estimate_usd", estimate_usd)
    try:
        amount_nano_usd(estimate_usd)
    except InputError as error:
        raise SettingsError(f"estimate_usd: {error}") from None
    return lambda _scope: estimate_usd
