"""The guard in FastAPI apps: refusals are its JSON, and a dependency reserves for a route."""

import asyncio
from decimal import Decimal
from typing import Annotated, Any

import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, Header, HTTPException, Request, WebSocket
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient
from metering_sinks import KeptRecords
from pydantic import BaseModel
from starlette.websockets import WebSocketDisconnect
from unit.guard.guarded_apps import (
    CALL,
    CALL_USD,
    SlowStore,
    a_budget,
    a_guard,
    a_tracker,
    amounts,
    prices,
    tripped,
)

from spendfuse.guard.fastapi import EXAMPLE, RESPONSES, install, reservation
from spendfuse.guard.reservation import Reservation
from spendfuse.guard.stores.memory import MemoryStore
from spendfuse.metering import report_usage

ZERO = Decimal(0)


class Question(BaseModel):
    prompt: str
    max_tokens: int = 100


def signed_in(x_user: Annotated[str, Header()]) -> str:
    return x_user


@pytest.fixture(params=[MemoryStore, SlowStore])
def guard(request):
    guard = a_guard(
        a_budget(), a_budget("each-user", per="user"), store=request.param(), prices=prices()
    )
    yield guard
    guard.close()


@pytest.fixture
def sink():
    return KeptRecords()


@pytest.fixture
def app(guard, sink):
    app = FastAPI()
    install(app, guard, a_tracker(sink))
    return app


def held_for(guard: Any, *arguments: Any, **options: Any) -> Any:
    return Annotated[Reservation, Depends(reservation(guard, *arguments, **options))]


def posted(app, path="/chat", **options):
    with TestClient(app, raise_server_exceptions=False) as client:
        return client.post(path, **{"headers": {"x-user": "u1"}, **options})


def organisation(guard):
    return amounts(guard, user="u1")["organisation"]


def test_an_async_route_is_given_its_reservation_and_charged_what_it_reports(app, guard):
    seen = []

    @app.post("/chat")
    async def chat(held: held_for(guard, "0.10", user=signed_in)):
        seen.append((held.held_usd, organisation(guard)))
        report_usage("gpt-4o", CALL)
        return "answer"

    assert posted(app).json() == "answer"

    assert seen == [(Decimal("0.1"), (ZERO, Decimal("0.1")))]
    assert amounts(guard, user="u1")["each-user"] == (CALL_USD, ZERO)


def test_a_route_in_a_thread_is_charged_what_it_reports(app, guard):
    @app.post("/chat")
    def chat(held: held_for(guard, "0.10")):
        report_usage("gpt-4o", CALL)

    posted(app)

    assert organisation(guard) == (CALL_USD, ZERO)


@pytest.mark.parametrize("is_async", [True, False])
def test_a_stream_is_charged_when_it_has_ended(app, guard, is_async):
    seen = []

    @app.post("/chat")
    async def chat(held: held_for(guard, "0.10")):
        async def tokens():
            for _ in range(5):
                await asyncio.sleep(0)
                seen.append(organisation(guard))
                yield "token"
            report_usage("gpt-4o", CALL)

        def tokens_of_a_thread():
            for _ in range(5):
                seen.append(organisation(guard))
                yield "token"
            report_usage("gpt-4o", CALL)

        return StreamingResponse(tokens() if is_async else tokens_of_a_thread())

    assert posted(app).text == "token" * 5

    assert seen == [(ZERO, Decimal("0.1"))] * 5
    assert organisation(guard) == (CALL_USD, ZERO)


def test_what_a_background_task_spends_is_charged(app, guard):
    @app.post("/chat")
    async def chat(held: held_for(guard, "0.10"), background: BackgroundTasks):
        background.add_task(report_usage, "gpt-4o", CALL)

    posted(app)
    # What the meter recorded after the dependency's end is settled by a thread of the guard's.
    guard.close()

    assert organisation(guard) == (CALL_USD, ZERO)


def test_the_price_of_model_and_prompt_is_held(app, guard):
    def prompt(question: Question) -> str:
        return question.prompt

    def max_tokens(question: Question) -> int:
        return question.max_tokens

    @app.post("/chat")
    async def chat(
        question: Question,
        held: held_for(guard, model="gpt-4o", prompt=prompt, max_tokens=max_tokens),
    ):
        return [held.max_tokens, str(held.held_usd)]

    max_tokens_held, usd = posted(app, json={"prompt": "Hello", "max_tokens": 1000}).json()

    assert max_tokens_held == 1000
    assert Decimal("0.0100") < Decimal(usd) < Decimal("0.0101")


@pytest.mark.parametrize("error", [HTTPException(404), ValueError("a bug")])
def test_a_route_that_fails_before_it_spends_is_charged_nothing(app, guard, error):
    @app.post("/chat")
    async def chat(held: held_for(guard, "0.10")):
        raise error

    assert posted(app).status_code in {404, 500}

    assert organisation(guard) == (ZERO, ZERO)


def test_a_body_that_is_wrong_holds_nothing(app, guard):
    @app.post("/chat")
    async def chat(question: Question, held: held_for(guard, "0.10")): ...

    assert posted(app, json={"prompt": 1}).status_code == 422

    assert organisation(guard) == (ZERO, ZERO)


@pytest.mark.parametrize("place", ["dependency", "route", "thread"])
def test_a_refusal_is_the_guards_json_and_not_fastapis_detail(app, guard, place):
    if place == "dependency":

        @app.post("/chat")
        async def chat(held: held_for(guard, "1.01")): ...
    elif place == "route":

        @app.post("/chat")
        async def chat():
            await guard.reserve_async("1.01")
    else:

        @app.post("/chat")
        def chat():
            guard.reserve("1.01")

    response = posted(app)

    assert response.status_code == 429
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    assert "retry-after" not in response.headers
    assert response.json()["error"] == "budget_exceeded"
    assert "detail" not in response.json()
    assert len(response.headers.get_list("content-length")) == 1


def test_the_documented_answer_is_the_real_one():
    guard = a_guard(
        a_budget(limit_usd="1000"), a_budget("each-user", "10", period="day", per="user")
    )
    for number in range(40):
        guard.reserve("10", user=f"other-{number}").settle("10")
    guard.reserve("9.85", user="u-17").settle("9.85")
    guard.reserve("0.05", user="u-17")
    app = FastAPI()
    install(app, guard)

    @app.post("/chat")
    async def chat(held: held_for(guard, "0.25", user=signed_in)): ...

    response = posted(app, headers={"x-user": "u-17"})

    assert response.json() == EXAMPLE
    assert list(response.json()) == list(EXAMPLE)
    assert response.headers["retry-after"] == "43200"
    assert "other-" not in response.text


def test_a_tripped_fuse_stops_every_route():
    guard = a_guard(fuse=tripped)
    app = FastAPI()
    install(app, guard)

    @app.post("/chat")
    async def chat():
        raise AssertionError("it ran")

    response = posted(app)

    assert response.status_code == 503
    assert response.json()["error"] == "fuse_tripped"


def test_middleware_within_sees_a_refusal_as_a_response(guard):
    app = FastAPI()
    app.add_middleware(CORSMiddleware, allow_origins=["https://app.example"])
    install(app, guard)

    @app.post("/chat")
    async def chat(held: held_for(guard, "1.01")): ...

    response = posted(app, headers={"origin": "https://app.example"})

    assert response.status_code == 429
    assert response.headers["access-control-allow-origin"] == "https://app.example"


def test_an_app_may_be_reserved_as_a_whole(guard, sink):
    app = FastAPI()
    install(
        app,
        guard,
        a_tracker(sink),
        user=lambda scope: Request(scope).headers["x-user"],
        attributes=lambda _scope: {"team": "search"},
        estimate_usd="0.10",
        always_open=["/health"],
    )
    seen = []

    @app.post("/chat")
    async def chat(request: Request):
        seen.append(request.state.reservation.held_usd)
        report_usage("gpt-4o", CALL)

    @app.post("/health")
    async def health(request: Request):
        seen.append(hasattr(request.state, "reservation"))

    posted(app)
    posted(app, "/health")

    assert seen == [Decimal("0.1"), False]
    assert amounts(guard, user="u1")["each-user"] == (CALL_USD, ZERO)
    assert sink.records[0].attributes["team"] == "search"


def test_one_dependency_in_two_places_of_a_route_reserves_once(app, guard):
    paid = held_for(guard, "0.10")

    def first(held: paid) -> str:
        return held.id

    @app.post("/chat")
    async def chat(of_first: Annotated[str, Depends(first)], held: paid):
        return of_first == held.id

    assert posted(app).json() is True

    assert guard.health().reserved == 1


def test_a_route_that_settles_itself_is_charged_that(app, guard):
    @app.post("/chat")
    async def chat(held: held_for(guard, "0.10")):
        report_usage("gpt-4o", CALL)
        await held.settle_async("0.03")

    posted(app)

    assert organisation(guard) == (Decimal("0.03"), ZERO)


@pytest.mark.parametrize("accepts", [True, False])
def test_a_websocket_that_does_not_fit_is_refused(app, guard, accepts):
    @app.websocket("/talk")
    async def talk(socket: WebSocket):
        if accepts:
            await socket.accept()
        await guard.reserve_async("1.01")

    with (
        TestClient(app) as client,
        pytest.raises(Exception) as refused,  # noqa: PT011 (of the client's own kinds)
        client.websocket_connect("/talk") as socket,
    ):
        socket.receive_text()

    if accepts:
        assert isinstance(refused.value, WebSocketDisconnect)
        assert (refused.value.code, refused.value.reason) == (1013, "budget_exceeded")
    else:
        assert refused.value.status_code == 429
        assert refused.value.json()["error"] == "budget_exceeded"


def test_a_websocket_may_have_a_reservation_for_all_of_its_talk(app, guard):
    @app.websocket("/talk")
    async def talk(socket: WebSocket, held: held_for(guard, "0.10")):
        await socket.accept()
        async for _ in socket.iter_text():
            report_usage("gpt-4o", CALL)
            await socket.send_text(str(held.held_usd))

    with TestClient(app) as client, client.websocket_connect("/talk") as socket:
        for _ in range(3):
            socket.send_text("question")
            assert socket.receive_text() == "0.1"

    assert organisation(guard) == (3 * CALL_USD, ZERO)


def test_the_documentation_tells_of_refusals(guard):
    app = FastAPI(responses=RESPONSES)

    @app.post("/chat")
    async def chat(held: held_for(guard, "0.10", user=signed_in)): ...

    route = app.openapi()["paths"]["/chat"]["post"]

    assert route["responses"]["429"]["content"]["application/json"]["example"] == EXAMPLE
    assert "Retry-After" in route["responses"]["429"]["headers"]
    assert "503" in route["responses"]
    # What a dependency of the reservation needs is documented with the route's own.
    assert [each["name"] for each in route["parameters"]] == ["x-user"]
