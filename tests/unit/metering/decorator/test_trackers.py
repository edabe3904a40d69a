"""Which tracker a decorated function uses."""

import asyncio
import threading

import pytest
from unit.metering.asgi.raw import Server, a_scope, body, metered, start
from unit.metering.decorator.told import a_response
from unit.metering.integrations.recording import Recording

from spendfuse.errors import SettingsError
from spendfuse.metering import report_usage, set_default_tracker, track_llm_cost
from spendfuse.metering.default_tracker import default_tracker


@pytest.fixture
def default():
    tracker = Recording()
    before = set_default_tracker(tracker)
    yield tracker
    set_default_tracker(before)


@track_llm_cost("rag")
def answer(model="gpt-4o"):
    return a_response(model)


def test_the_default_tracker_holds_for_functions_decorated_before_it(default):
    answer()

    assert default.call.model == "gpt-4o"


def test_the_default_tracker_is_seen_by_all_threads(default):
    thread = threading.Thread(target=answer)
    thread.start()
    thread.join()

    assert default.call.model == "gpt-4o"


def test_setting_a_default_returns_the_one_before(default):
    other = Recording()

    assert set_default_tracker(other) is default
    assert default_tracker() is other
    assert set_default_tracker(None) is other
    assert default_tracker() is None
    set_default_tracker(default)


def test_what_is_no_tracker_is_refused_at_once(default):
    with pytest.raises(SettingsError, match="tracker must be a CostTracker, got str"):
        set_default_tracker("tracker")
    with pytest.raises(SettingsError, match="tracker must be a CostTracker"):
        track_llm_cost(tracker=object())

    assert default_tracker() is default


def test_a_tracker_of_its_own_beats_the_default(default, meter):
    meter()(answer.__wrapped__)()

    assert len(meter.calls) == 1
    assert default.calls == []


def test_without_any_tracker_the_function_works_and_one_error_is_logged(caplog):
    @track_llm_cost("rag")
    def unmetered():
        report_usage("m", {"prompt_tokens": 1})
        return a_response()

    assert unmetered() == unmetered() == a_response()
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert "unmetered" in record.getMessage()
    assert "set_default_tracker" in record.getMessage()


def test_without_any_tracker_a_result_without_usage_is_the_lesser_problem(caplog):
    track_llm_cost("rag")(lambda: "text")()

    assert "there is no tracker" in caplog.text


def test_without_any_tracker_errors_are_raised_all_the_same(caplog):
    @track_llm_cost("rag")
    def failing():
        raise KeyError

    with pytest.raises(KeyError):
        failing()

    assert "failing" in caplog.text


def in_a_request(function):
    async def app(_scope, _receive, send):
        function()
        await send(start())
        await send(body())

    wrapped, tracker = metered(app, user=lambda _: "u1")
    Server().play(wrapped, a_scope(path="/ask"))
    return tracker


IN_THE_REQUEST = {"query_type": "rag", "user": "u1", "endpoint": "/ask"}


def test_in_a_request_its_tracker_holds_and_adds_user_and_endpoint(default):
    tracker = in_a_request(answer)

    assert tracker.call.attribution.attributes == IN_THE_REQUEST
    assert default.calls == []


def test_a_function_with_the_requests_own_tracker_gets_them_too():
    async def app(_scope, _receive, send):
        track_llm_cost("rag", tracker=tracker)(a_response)()
        await send(start())
        await send(body())

    wrapped, tracker = metered(app, user=lambda _: "u1")
    Server().play(wrapped, a_scope(path="/ask"))

    assert tracker.call.attribution.attributes == IN_THE_REQUEST


def test_a_function_with_another_tracker_uses_that_one(meter):
    tracker = in_a_request(meter()(a_response))

    assert tracker.calls == []
    assert meter.call.attribution.attributes == {"query_type": "rag"}


def test_an_inner_function_reaches_the_request_through_the_outer_one():
    @track_llm_cost("outer")
    def outer():
        answer("inner")
        return a_response("outer")

    tracker = in_a_request(outer)

    assert [(c.model, c.attribution.attributes["query_type"]) for c in tracker.calls] == [
        ("inner", "rag"),
        ("outer", "outer"),
    ]
    assert {c.attribution.attributes["user"] for c in tracker.calls} == {"u1"}


def test_an_inner_call_that_was_well_stays_so_when_the_outer_one_fails():
    @track_llm_cost("outer")
    def outer():
        answer("inner")
        raise KeyError

    def tried():
        with pytest.raises(KeyError):
            outer()

    tracker = in_a_request(tried)

    assert [(c.model, c.status) for c in tracker.calls] == [("inner", "ok"), ("", "error")]


def test_what_a_decorated_function_refuses_is_refused_by_the_requests_tracker():
    tracker = in_a_request(track_llm_cost("rag")(lambda: "text"))

    assert len(tracker.refused) == 1


def test_a_stream_of_a_request_is_counted_for_it():
    @track_llm_cost("rag")
    async def stream():
        yield b"a"
        await asyncio.sleep(0)
        report_usage("m", {"prompt_tokens": 1})

    async def app(_scope, _receive, send):
        await send(start())
        async for chunk in stream():
            await send(body(chunk, more=True))
        await send(body())

    wrapped, tracker = metered(app, user=lambda _: "u1")
    Server().play(wrapped, a_scope(path="/ask"))

    assert tracker.call.attribution.attributes == IN_THE_REQUEST
