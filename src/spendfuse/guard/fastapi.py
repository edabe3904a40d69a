"""FastAPI: a dependency that reserves for a route, and one call that guards and meters an app."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from fastapi import Depends, FastAPI, Request, Response, WebSocket

from spendfuse.guard.asgi import Estimate, GuardMiddleware, answer_to
from spendfuse.guard.errors import FuseTrippedError, RefusedError
from spendfuse.guard.estimate import Dollars
from spendfuse.guard.guard import Guard
from spendfuse.guard.reservation import Reservation
from spendfuse.metering.asgi import Scope
from spendfuse.metering.attribution import Scalar
from spendfuse.metering.integrations.meter import Meter

Dependency = Callable[..., Any]

EXAMPLE: Mapping[str, Any] = {
    "error": "budget_exceeded",
    "message": "budget each-user of u-17: $0.25 is asked for, and $0.10 is left of $10.00 for "
    "2026-11-22 ($9.85 spent, $0.05 held by running requests); the budget starts anew on "
    "2026-11-23 at 00:00 UTC",
    "budget": "each-user",
    "for": "u-17",
    "period": "2026-11-22",
    "limit_usd": "10",
    "spent_usd": "9.85",
    "held_usd": "0.05",
    "asked_usd": "0.25",
    "resets_at": "2026-11-23T00:00:00.000Z",
    "budgets": [
        {
            "budget": "organisation",
            "period": "2026-11",
            "limit_usd": "1000",
            "spent_usd": "409.85",
            "held_usd": "0.05",
            "resets_at": "2026-12-01T00:00:00.000Z",
        },
        {
            "budget": "each-user",
            "for": "u-17",
            "period": "2026-11-22",
            "limit_usd": "10",
            "spent_usd": "9.85",
            "held_usd": "0.05",
            "resets_at": "2026-11-23T00:00:00.000Z",
        },
    ],
}
"""The body of a 429, as a budget answers."""
_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["error", "message"],
    "properties": {
        "error": {"type": "string", "description": "What refused, for programs."},
        "message": {"type": "string", "description": "Why, for people."},
    },
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    429: {
        "description": "The request does not fit into a budget or a rate.",
        "headers": {
            "Retry-After": {
                "description": "Seconds to wait; absent where waiting does not help.",
                "schema": {"type": "integer"},
            }
        },
        "content": {"application/json": {"schema": _SCHEMA, "example": EXAMPLE}},
    },
    503: {
        "description": "The fuse is tripped, or a budget can't be checked.",
        "content": {
            "application/json": {
                "schema": _SCHEMA,
                "example": FuseTrippedError(
                    "spendfuse",
                    trip_id="spendfuse/organisation/2026-11/100/1000000000000/0",
                    since=datetime(2026, 11, 22, 12, tzinfo=UTC),
                ).body(),
            }
        },
    },
}
"""For ``responses=`` of an app or a route: its documentation then says what a refusal is."""


def install(
    app: FastAPI,
    guard: Guard,
    tracker: Meter | None = None,
    *,
    user: Callable[[Scope], str | None] | None = None,
    attributes: Callable[[Scope], Mapping[str, Scalar]] | None = None,
    estimate_usd: Estimate | Dollars | None = None,
    always_open: Collection[str] = (),
) -> None:
    """Guard ``app``, and meter it where there is a tracker; options as for ``GuardMiddleware``.

    Refusals raised in routes and dependencies become the guard's JSON answer inside of the
    middleware that was added before, so CORS and logging see a plain response. What was added
    later stands outside: it sees requests first, and sets the user that is charged.
    """
    app.add_middleware(
        GuardMiddleware,
        guard=guard,
        tracker=tracker,
        user=user,
        attributes=attributes,
        estimate_usd=estimate_usd,
        always_open=always_open,
    )
    app.add_exception_handler(RefusedError, refusal_response)


async def refusal_response(connection: Request | WebSocket, refused: Exception) -> Response:
    """Return a ``RefusedError`` as the response that the middleware would send."""
    if isinstance(connection, WebSocket) or not isinstance(refused, RefusedError):
        # A websocket's refusal is the middleware's: only it knows whether it was accepted.
        raise refused
    status, headers, body = answer_to(refused)
    response = Response(body, status)
    response.raw_headers = headers
    return response


def reservation(
    guard: Guard, estimate_usd: Dollars | Dependency | None = None, **options: Any
) -> Dependency:
    """Return a dependency that reserves before the route runs, and gives it the ``Reservation``.

    When the response is out, its stream and background tasks included, what the meter recorded
    for the request is settled; an error before anything was recorded releases it.

    Args:
        guard: whose budgets hold.
        estimate_usd: dollars; or the model's price tells, as for ``Guard.reserve``.
        **options: ``model``, ``prompt``, ``max_tokens`` and the like, and attributes such as
            ``user``. Each value, the estimate too, may be a dependency that tells it.

    Example:
        >>> Paid = Annotated[Reservation, Depends(reservation(guard, "0.05", user=signed_in))]
        ... # doctest: +SKIP
    """
    given = dict(options) if estimate_usd is None else {"estimate_usd": estimate_usd, **options}
    told = {name: value for name, value in given.items() if callable(value)}
    fixed = {name: value for name, value in given.items() if name not in told}

    async def reserved(**values: Any) -> AsyncIterator[Reservation]:
        async with guard.reserving(**fixed, **values) as held:
            yield held

    # FastAPI reads what a dependency needs from its signature.
    reserved.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=Depends(value))
            for name, value in told.items()
        ]
    )
    return reserved
