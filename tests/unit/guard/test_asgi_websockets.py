"""How a websocket is refused: before it is accepted, and after."""

from __future__ import annotations

import json

import pytest
from unit.guard.guarded_apps import a_guard, played, raising, tripped
from unit.metering.asgi.raw import a_scope, sending

from spendfuse.guard.errors import GuardDownError


def test_a_websocket_is_refused_with_the_same_answer_where_the_server_can():
    scope = a_scope("websocket", extensions={"websocket.http.response": {}})

    server = played(sending(), a_guard(fuse=tripped), scope)

    first, last = server.sent
    assert first["type"] == "websocket.http.response.start"
    assert first["status"] == 503
    assert last["type"] == "websocket.http.response.body"
    assert json.loads(last["body"])["error"] == "fuse_tripped"


@pytest.mark.parametrize("extensions", [{}, None])
def test_a_websocket_is_closed_with_1013_elsewhere(extensions):
    scope = a_scope("websocket", extensions=extensions)

    server = played(sending(), a_guard(fuse=tripped), scope)

    assert server.sent == [{"type": "websocket.close", "code": 1013, "reason": "fuse_tripped"}]


def test_an_accepted_websocket_is_closed_with_1013_when_it_is_refused():
    guard = a_guard()
    accept, message = {"type": "websocket.accept"}, {"type": "websocket.send", "text": "hi"}
    scope = a_scope("websocket", extensions={"websocket.http.response": {}})
    refused = GuardDownError("organisation", "down")

    server = played(raising(refused, accept, message), guard, scope)

    closed = {"type": "websocket.close", "code": 1013, "reason": "guard_down"}
    assert server.sent == [accept, message, closed]


def test_a_websocket_is_not_closed_twice():
    closing = ({"type": "websocket.accept"}, {"type": "websocket.close", "code": 1000})

    with pytest.raises(GuardDownError):
        played(
            raising(GuardDownError("organisation", "down"), *closing),
            a_guard(),
            a_scope("websocket"),
        )
