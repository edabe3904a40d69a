"""Starlette and FastAPI apps with the middleware, called through httpx."""

import asyncio
import json
from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, Request, Response, WebSocket
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from unit.metering.integrations.recording import Recording

from spendfuse.metering import attributed, report_usage
from spendfuse.metering.asgi import UsageMiddleware

USAGE = json.dumps({"model": "gpt-4o", "prompt_tokens": 100, "completion_tokens": 10})


@pytest.fixture
def tracker():
    return Recording()


def called(app, *paths, **options):
    """Call the paths at the same time, and return the responses."""

    async def main():
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False, **options)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            return await asyncio.gather(*(client.get(path) for path in paths))

    return asyncio.run(main())


def seen(tracker):
    """Return each call as model, user, endpoint and status."""
    return sorted(
        (
            call.model,
            call.attribution.attributes["user"],
            call.attribution.attributes["endpoint"],
            call.status,
        )
        for call in tracker.calls
    )


def signed_in(request: Request):
    request.state.user_id = request.query_params["user"]


router = APIRouter()


@router.get("/chat/{room}")
def chat(room: str, response: Response, _: Annotated[None, Depends(signed_in)]):
    response.headers["X-LLM-Usage"] = USAGE
    return {"room": room}


@router.get("/agent", dependencies=[Depends(signed_in)])
def agent():
    # A route that is no coroutine runs in a thread.
    for model in ("planner", "writer"):
        report_usage(model, {"prompt_tokens": 1}, feature="agent")
    return "done"


@router.get("/stream/{name}", dependencies=[Depends(signed_in)])
async def stream(name: str):
    async def tokens():
        with attributed(team="search"):
            for word in ("a", "b", "c"):
                await asyncio.sleep(0)
                yield word
            report_usage(name, {"prompt_tokens": 1})

    return StreamingResponse(tokens())


@router.get("/threaded-stream", dependencies=[Depends(signed_in)])
def threaded_stream():
    def tokens():
        with attributed(team="search"):
            yield "a"
            yield "b"
        report_usage("threaded", {"prompt_tokens": 1})

    return StreamingResponse(tokens())


@router.get("/background", dependencies=[Depends(signed_in)])
def background(tasks: BackgroundTasks):
    tasks.add_task(report_usage, "in-the-background", {"prompt_tokens": 1})
    return "soon"


@router.get("/broken", dependencies=[Depends(signed_in)])
async def broken():
    report_usage("m", {"prompt_tokens": 1})
    raise KeyError


@router.websocket("/talk/{room}")
async def talk(websocket: WebSocket, room: str):
    await websocket.accept()
    websocket.state.user_id = await websocket.receive_text()
    report_usage(room, {"prompt_tokens": 1})
    await websocket.send_text("answer")
    await websocket.close()


def fastapi_app(tracker, *others):
    app = FastAPI()
    app.include_router(router)
    for other in others:
        app.add_middleware(other)
    app.add_middleware(UsageMiddleware, tracker=tracker)
    return app


def test_the_header_of_a_route_is_tracked_under_the_user_and_the_template(tracker):
    (response,) = called(fastapi_app(tracker), "/chat/lobby?user=u1")

    assert response.json() == {"room": "lobby"}
    assert "x-llm-usage" not in response.headers
    assert seen(tracker) == [("gpt-4o", "u1", "/chat/{room}", "ok")]


def test_reports_of_a_route_in_a_thread_count(tracker):
    called(fastapi_app(tracker), "/agent?user=u1")

    assert seen(tracker) == [("planner", "u1", "/agent", "ok"), ("writer", "u1", "/agent", "ok")]
    assert tracker.calls[0].attribution.attributes["feature"] == "agent"


def test_usage_at_the_end_of_a_stream_counts(tracker):
    (response,) = called(fastapi_app(tracker), "/stream/s1?user=u1")

    assert response.text == "abc"
    assert seen(tracker) == [("s1", "u1", "/stream/{name}", "ok")]
    assert tracker.call.attribution.attributes["team"] == "search"


def test_a_stream_from_a_thread_pool_ends_well(tracker):
    (response,) = called(fastapi_app(tracker), "/threaded-stream?user=u1")

    assert response.text == "ab"
    assert seen(tracker) == [("threaded", "u1", "/threaded-stream", "ok")]


def test_a_background_task_counts(tracker):
    called(fastapi_app(tracker), "/background?user=u1")

    assert seen(tracker) == [("in-the-background", "u1", "/background", "ok")]


def test_a_route_that_breaks_is_recorded_as_an_error(tracker):
    (response,) = called(fastapi_app(tracker), "/broken?user=u1")

    assert response.status_code == 500
    assert tracker.call.error_type == "KeyError"


def test_concurrent_requests_keep_their_users_apart(tracker):
    called(fastapi_app(tracker), *(f"/stream/m{n}?user=u{n}" for n in range(40)))

    assert len(tracker.calls) == 40
    assert all(model[1:] == user[1:] for model, user, _, _ in seen(tracker))


def test_a_websocket_counts(tracker):
    with (
        TestClient(fastapi_app(tracker)) as client,
        client.websocket_connect("/talk/lobby") as websocket,
    ):
        websocket.send_text("u1")
        assert websocket.receive_text() == "answer"

    assert seen(tracker) == [("lobby", "u1", "/talk/{room}", "ok")]


class Around(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        return await call_next(request)


def test_a_base_http_middleware_inside_changes_nothing(tracker):
    paths = ["/chat/lobby?user=u1", "/stream/s1?user=u2", "/background?user=u3", "/agent?user=u4"]
    responses = called(fastapi_app(tracker, Around, Around), *paths)

    assert not any("x-llm-usage" in response.headers for response in responses)
    assert seen(tracker) == [
        ("gpt-4o", "u1", "/chat/{room}", "ok"),
        ("in-the-background", "u3", "/background", "ok"),
        ("planner", "u4", "/agent", "ok"),
        ("s1", "u2", "/stream/{name}", "ok"),
        ("writer", "u4", "/agent", "ok"),
    ]


def test_a_base_http_middleware_around_changes_nothing(tracker):
    app = fastapi_app(tracker)
    app.add_middleware(Around)
    responses = called(app, "/chat/lobby?user=u1", "/stream/s1?user=u2", "/background?user=u3")

    assert not any("x-llm-usage" in response.headers for response in responses)
    assert seen(tracker) == [
        ("gpt-4o", "u1", "/chat/{room}", "ok"),
        ("in-the-background", "u3", "/background", "ok"),
        ("s1", "u2", "/stream/{name}", "ok"),
    ]


async def reporting(request):
    report_usage("m", {"prompt_tokens": 1})
    return PlainTextResponse(str(request.path_params))


def starlette_routes():
    return [
        Route("/items/{number}", reporting),
        Mount("/tenants/{tenant}", routes=[Route("/items/{item}", reporting)]),
    ]


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/items/7", "/items/{number}"),
        ("/tenants/acme/items/pen", "/tenants/{tenant}/items/{item}"),
        ("/sub/tenants/acme/items/pen", "/sub/tenants/{tenant}/items/{item}"),
        ("/v1/acme/reports/9", "/v1/{tenant}/reports/{number}"),
        ("/raw/users/42", "/raw/users/{id}"),
    ],
)
def test_templates_are_found_below_mounts_and_routers(tracker, path, endpoint):
    async def raw(scope, receive, send):
        report_usage("m", {"prompt_tokens": 1})
        await PlainTextResponse("raw")(scope, receive, send)

    app = FastAPI(routes=starlette_routes())
    router = APIRouter(prefix="/reports")
    router.add_api_route("/{number}", reporting_api)
    app.include_router(router, prefix="/v1/{tenant}")
    app.mount("/sub", Starlette(routes=starlette_routes()))
    app.mount("/raw", raw)
    app.add_middleware(UsageMiddleware, tracker=tracker)
    (response,) = called(app, path)
    called(app, f"/root{path}", root_path="/root")

    assert response.status_code == 200
    assert [call.attribution.attributes["endpoint"] for call in tracker.calls] == [
        endpoint,
        f"/root{endpoint}",
    ]


def reporting_api(tenant: str, number: int):
    report_usage("m", {"prompt_tokens": 1})
    return f"{tenant} {number}"


def test_a_mounted_app_with_a_middleware_of_its_own_counts_once(tracker):
    inner = Recording()
    ours = Middleware(UsageMiddleware, tracker=inner)
    mounted = Starlette(routes=starlette_routes(), middleware=[ours])
    app = Starlette(routes=[Mount("/sub", mounted)])
    app.add_middleware(UsageMiddleware, tracker=tracker)
    called(app, "/sub/items/7")

    assert (len(inner.calls), len(tracker.calls)) == (1, 0)
    assert inner.call.attribution.attributes["endpoint"] == "/sub/items/{number}"
