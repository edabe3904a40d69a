"""Functions and coroutine functions."""

import asyncio
import contextlib
import contextvars
import functools
import gc
import inspect
import traceback
import weakref

import pytest
from unit.metering.decorator.told import a_response

from spendfuse.errors import SettingsError
from spendfuse.metering import attributed, report_usage, track_llm_cost
from spendfuse.metering.reporting import mark_counted
from spendfuse.metering.usage import NOTHING_USED, Usage


def test_a_raw_response_that_is_returned_is_read(meter):
    @meter("summary", feature="reader", chunks=4)
    def summarise(text):
        meter.clock.seconds += 1.25
        return a_response()

    assert summarise("a") == a_response()
    call = meter.call
    assert call.usage == Usage(input_tokens=100, output_tokens=10)
    assert (call.model, call.status, call.latency_ms) == ("gpt-4o", "ok", 1250)
    assert call.attribution.attributes == {"query_type": "summary", "feature": "reader"}
    assert call.attribution.fields == {"chunks": 4}


def test_what_is_reported_inside_beats_what_is_returned(meter):
    @meter("rag")
    def answer():
        response = a_response()
        report_usage("mine", response["usage"], provider="openai", rag_chunks_used=7)
        return response

    answer()

    assert (meter.call.model, meter.call.provider) == ("mine", "openai")
    assert meter.call.attribution.fields == {"rag_chunks_used": 7}


def test_the_latency_belongs_to_one_call_and_to_no_one_of_several(meter):
    @meter()
    def answer(*models):
        for model in models:
            report_usage(model, {"prompt_tokens": 1})
        report_usage("timed", {"prompt_tokens": 1}, latency_ms=9)
        meter.clock.seconds += 2

    answer("a")
    answer()

    assert [call.latency_ms for call in meter.calls] == [None, 9, 9]

    @meter()
    def single():
        report_usage("b", {"prompt_tokens": 1})
        meter.clock.seconds += 2

    single()

    assert meter.calls[-1].latency_ms == 2000


def test_a_result_without_usage_is_refused_and_not_made_up(meter):
    @meter()
    def answer():
        return "42"

    assert answer() == "42"
    assert meter.calls == []
    assert meter.refused == [f"{answer.__qualname__} returned no usage and reported none"]


def test_a_result_with_counts_that_can_not_be_is_refused(meter):
    meter()(lambda: a_response(prompt_tokens=-1))()

    assert meter.calls == []
    assert len(meter.refused) == 1


def test_a_result_that_breaks_when_it_is_looked_at_breaks_nothing(meter, caplog):
    class Hostile:
        def __getattr__(self, name):
            raise RuntimeError(name)

    result = Hostile()

    assert meter()(lambda: result)() is result
    assert meter.calls == []


def test_the_model_and_provider_stand_in_where_the_response_names_none(meter):
    converse = {
        "usage": {"inputTokens": 5, "outputTokens": 1, "totalTokens": 6},
        "output": {},
        "stopReason": "end_turn",
    }
    meter(model="us.anthropic.claude-opus-4-5", provider="aws")(lambda: converse)()

    assert meter.call.model == "us.anthropic.claude-opus-4-5"
    assert meter.call.provider == "aws"


def test_an_error_is_recorded_and_raised_untouched(meter):
    error = KeyError("a secret prompt")

    @meter(model="gpt-4o")
    def answer():
        raise error

    with pytest.raises(KeyError) as caught:
        answer()

    assert caught.value is error
    frames = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert frames[-2:] == ["metered", "answer"]
    assert error.__context__ is None
    assert meter.said == [("gpt-4o", "error", "KeyError")]
    assert meter.call.usage == NOTHING_USED


def test_what_was_reported_before_an_error_is_recorded_with_it(meter):
    @meter()
    def answer():
        report_usage("paid", {"prompt_tokens": 1})
        report_usage("failed", {}, status="error", error_type="RateLimitError")
        raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        answer()

    assert meter.said == [("paid", "error", "ValueError"), ("failed", "error", "RateLimitError")]


def test_an_interrupt_is_a_cancellation(meter):
    @meter()
    def answer():
        report_usage("m", {"prompt_tokens": 1})
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        answer()

    assert meter.said == [("m", "cancelled", None)]


def test_nested_decorators_count_a_call_once_by_the_inner_one(meter):
    @meter("inner")
    def inner():
        return a_response()

    @meter("outer")
    def outer():
        return inner()

    outer()

    assert meter.query_types == ["inner"]
    assert meter.refused == []


def test_an_outer_function_counts_its_own_calls_too(meter):
    @meter("inner")
    def inner():
        report_usage("small", {"prompt_tokens": 1})

    @meter("outer")
    def outer():
        inner()
        return a_response("large")

    outer()

    assert meter.query_types == ["inner", "outer"]
    assert [call.model for call in meter.calls] == ["small", "large"]


def test_an_outer_function_that_returns_the_text_of_an_inner_call_is_no_riddle(meter):
    @meter("outer")
    def outer():
        meter("inner")(a_response)()
        return "text"

    outer()

    assert meter.query_types == ["inner"]
    assert meter.refused == []


def test_a_result_without_usage_is_refused_once_however_deep(meter):
    @meter("outer")
    def outer():
        return meter("inner")(lambda: "text")()

    outer()

    assert len(meter.refused) == 1


def test_an_error_is_recorded_once_by_the_inner_one(meter):
    @meter("inner")
    def inner():
        raise TimeoutError

    @meter("outer")
    def outer():
        try:
            inner()
        except TimeoutError as error:
            raise RuntimeError from error

    with pytest.raises(RuntimeError):
        outer()

    assert meter.query_types == ["inner"]
    assert meter.said == [("", "error", "TimeoutError")]


def test_an_error_of_the_outer_function_itself_is_recorded_too(meter):
    @meter("outer")
    def outer():
        meter("inner")(a_response)()
        raise TimeoutError

    with pytest.raises(TimeoutError):
        outer()

    assert meter.query_types == ["inner", "outer"]
    assert [call.status for call in meter.calls] == ["ok", "error"]


def test_a_response_that_a_wrapped_client_has_tracked_is_not_counted_again(meter):
    response = a_response()

    @meter()
    def answer():
        mark_counted(response)
        return response

    @meter()
    def by_its_usage():
        mark_counted(response["usage"])
        return response

    answer()
    by_its_usage()

    assert meter.calls == meter.refused == []


def test_an_error_leaves_no_circle_for_the_garbage_collector(meter):
    class Big:
        pass

    gone = []

    def inner():
        big = Big()
        gone.append(weakref.ref(big))
        raise ValueError

    outer = meter("outer")(meter("inner")(inner))
    gc.disable()
    try:
        with contextlib.suppress(ValueError):
            outer()
        assert gone[0]() is None
    finally:
        gc.enable()


def test_attributes_hold_for_what_is_called_inside_and_only_there(meter):
    @meter("rag", team="search")
    def answer():
        report_usage("m", {"prompt_tokens": 1})
        with attributed(team="other"):
            report_usage("m", {"prompt_tokens": 1})

    with attributed(user="u1", query_type="outer"):
        answer()
        meter(None)(a_response)()

    shared = {"user": "u1", "query_type": "rag"}
    assert [call.attribution.attributes for call in meter.calls] == [
        {**shared, "team": "search"},
        {**shared, "team": "other"},
        {"user": "u1", "query_type": "outer"},
    ]


def test_methods_and_class_methods_keep_their_first_argument(meter):
    class Bot:
        name = "bot"

        @meter("method")
        def ask(self, text):
            return a_response(self.name + text)

        @classmethod
        @meter("class")
        def make(cls, text):
            return a_response(cls.name + text)

        @staticmethod
        @meter("static")
        def plain(text):
            return a_response(text)

    Bot().ask("-1")
    Bot.make("-2")
    Bot.plain("alone")

    assert [call.model for call in meter.calls] == ["bot-1", "bot-2", "alone"]


@pytest.mark.parametrize("kind", [classmethod, staticmethod])
def test_the_wrong_order_says_which_is_right(meter, kind):
    with pytest.raises(SettingsError, match=f"below @classmethod or @staticmethod|{kind}"):
        meter()(kind(a_response))


@pytest.mark.parametrize("values", [{"team": ["a"]}, {"user": object()}, {"query_type": 3.0j}])
def test_an_attribute_that_is_no_plain_value_is_refused_at_once(meter, values):
    with pytest.raises(SettingsError, match="must be text, a number or true or false"):
        track_llm_cost(**values)


def test_it_needs_no_parentheses(meter):
    @track_llm_cost
    def answer():
        return 7

    assert answer() == 7


def test_the_function_looks_like_itself(meter):
    def answer(text: str, *, depth: int = 2) -> str:
        """Answer it."""
        return text * depth

    decorated = meter()(answer)

    assert decorated.__wrapped__ is answer
    assert (decorated.__name__, decorated.__doc__) == ("answer", "Answer it.")
    assert inspect.signature(decorated) == inspect.signature(answer)


def run(coroutine):
    return asyncio.run(coroutine)


def test_a_coroutine_function_stays_one_and_is_read(meter):
    @meter()
    async def answer():
        await asyncio.sleep(0)
        meter.clock.seconds += 0.5
        return a_response()

    assert inspect.iscoroutinefunction(answer)
    assert run(answer()) == a_response()
    assert (meter.call.model, meter.call.latency_ms) == ("gpt-4o", 500)


def test_an_error_of_a_coroutine_is_recorded_and_raised(meter):
    @meter()
    async def answer():
        await asyncio.sleep(0)
        raise TimeoutError

    with pytest.raises(TimeoutError):
        run(answer())

    assert meter.said == [("", "error", "TimeoutError")]


def test_a_coroutine_that_is_cancelled_keeps_what_was_reported(meter):
    @meter()
    async def answer():
        report_usage("so-far", {"prompt_tokens": 1})
        await asyncio.sleep(60)

    async def main():
        task = asyncio.create_task(answer())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())

    assert meter.said == [("so-far", "cancelled", None)]


def test_of_a_call_that_is_cancelled_unsaid_nobody_claims_that_it_was_free(meter):
    @meter(model="gpt-4o")
    async def answer():
        await asyncio.sleep(60)

    async def main():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(answer(), 0.001)

    run(main())

    assert meter.said == [("gpt-4o", "cancelled", None)]
    assert meter.call.usage is None


def test_concurrent_coroutines_keep_their_reports_apart(meter):
    @meter()
    async def answer(name):
        for _ in range(3):
            await asyncio.sleep(0)
            report_usage(name, {"prompt_tokens": 1})

    async def asked(name):
        with attributed(user=name):
            await answer(name)

    async def main():
        await asyncio.gather(*(asked(f"u{number}") for number in range(30)))

    run(main())

    assert len(meter.calls) == 90
    assert all(call.attribution.attributes["user"] == call.model for call in meter.calls)


def test_a_task_that_outlives_the_function_still_counts(meter):
    tasks = []

    async def late():
        await asyncio.sleep(0)
        report_usage("late", {"prompt_tokens": 1})

    @meter("rag")
    async def answer():
        tasks.append(asyncio.create_task(late()))
        meter.clock.seconds += 1
        return a_response()

    async def main():
        await answer()
        await tasks[0]

    run(main())

    assert meter.said == [("gpt-4o", "ok", None), ("late", "ok", None)]
    assert meter.query_types == ["rag", "rag"]
    assert [call.latency_ms for call in meter.calls] == [1000, None]


def test_a_coroutine_that_the_garbage_collector_closes_raises_nothing(meter):
    class Never:
        def __await__(self):
            yield

    @meter()
    async def answer():
        await Never()

    coroutine = answer()
    contextvars.copy_context().run(coroutine.send, None)
    coroutine.close()

    assert meter.said == [("", "cancelled", None)]


@pytest.mark.parametrize("hidden", ["lambda", "partial", "object"])
def test_what_only_makes_a_coroutine_is_awaited_under_the_meter(meter, hidden):
    async def answer(model):
        await asyncio.sleep(0)
        meter.clock.seconds += 1
        return a_response(model)

    class Callable:
        async def __call__(self):
            return await answer("m")

    function = {
        "lambda": lambda: answer("m"),
        "partial": functools.partial(answer, "m"),
        "object": Callable(),
    }[hidden]

    assert run(meter()(function)()) == a_response("m")
    assert meter.said == [("m", "ok", None)]
    assert meter.call.latency_ms == 1000
    assert meter.refused == []


def test_threads_keep_their_reports_apart(meter):
    @meter()
    def answer(name):
        report_usage(name, {"prompt_tokens": 1})

    async def main():
        await asyncio.gather(*(asyncio.to_thread(answer, f"m{n}") for n in range(50)))

    run(main())

    assert sorted(call.model for call in meter.calls) == sorted(f"m{n}" for n in range(50))
