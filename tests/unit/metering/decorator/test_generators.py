"""Generators and asynchronous generators."""

import asyncio
import contextlib
import contextvars
import gc
import inspect
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.metering.decorator.told import Meter, a_response

from spendfuse.metering import attributed, report_usage
from spendfuse.metering.attribution import current_attribution
from spendfuse.metering.reporting import mark_counted

COUNTS = {"prompt_tokens": 1}
CHUNKS = [
    {"object": "chat.completion.chunk", "model": "gpt-4o", "choices": [{"delta": {}}]},
    {"object": "chat.completion.chunk", "model": "gpt-4o", "choices": [], "usage": COUNTS},
]


def sync_words(meter, *words, then=None, **options):
    @meter(**options)
    def stream():
        yield from words
        return then() if then else None

    return stream


def async_words(meter, *words, then=None, **options):
    @meter(**options)
    async def stream():
        for word in words:
            await asyncio.sleep(0)
            yield word
        if then:
            then()

    return stream


def drained(stream):
    if inspect.isasyncgen(stream):

        async def main():
            return [item async for item in stream]

        return asyncio.run(main())
    return list(stream)


class ThrownError(Exception):
    pass


both = pytest.mark.parametrize("words", [sync_words, async_words], ids=["sync", "async"])


@both
def test_a_generator_stays_one_of_its_kind(meter, words):
    stream = words(meter)

    assert inspect.isgeneratorfunction(stream) == (words is sync_words)
    assert inspect.isasyncgenfunction(stream) == (words is async_words)


@both
def test_what_is_reported_at_the_end_of_a_stream_counts(meter, words):
    def then():
        meter.clock.seconds += 3
        report_usage("m", COUNTS)

    assert drained(words(meter, "a", "b", then=then)()) == ["a", "b"]
    assert meter.said == [("m", "ok", None)]
    assert meter.call.latency_ms == 3000
    assert meter.query_types == ["rag"]


@both
def test_a_providers_own_events_that_are_yielded_tell_the_usage(meter, words):
    assert drained(words(meter, *CHUNKS)()) == CHUNKS
    assert meter.said == [("gpt-4o", "ok", None)]


@both
def test_the_events_of_a_stream_that_a_wrapped_client_tracks_are_not_counted_again(meter, words):
    @meter("outer")
    def sync_outer():
        mark_counted(CHUNKS)
        yield from CHUNKS

    @meter("outer")
    async def async_outer():
        for chunk in sync_outer():
            yield chunk

    drained(sync_outer() if words is sync_words else async_outer())

    assert meter.calls == meter.refused == []


@both
def test_a_stream_of_words_without_usage_is_refused(meter, words):
    drained(words(meter, "a", b"b")())

    assert meter.calls == []
    assert len(meter.refused) == 1


@both
def test_a_stream_that_is_never_begun_is_no_call(meter, words):
    words(meter, "a")()

    assert meter.calls == meter.refused == []


@both
def test_an_error_in_a_stream_is_recorded_and_raised(meter, words):
    def then():
        raise ConnectionError

    with pytest.raises(ConnectionError):
        drained(words(meter, "a", then=then, model="gpt-4o")())

    assert meter.said == [("gpt-4o", "error", "ConnectionError")]
    # Something came, so something was used: it is not $0.
    assert meter.call.usage is None


def test_the_value_that_a_generator_returns_is_returned_and_read(meter):
    stream = sync_words(meter, "a", then=a_response)()

    def outer():
        return (yield from stream)

    generator = outer()
    next(generator)
    with pytest.raises(StopIteration) as stopped:
        next(generator)

    assert stopped.value.value == a_response()
    assert meter.said == [("gpt-4o", "ok", None)]


def test_a_generator_that_is_closed_early_is_cancelled(meter):
    cleaned_up = []

    @meter()
    def stream():
        try:
            report_usage("m", COUNTS)
            yield 1
        finally:
            cleaned_up.append(True)
            report_usage("in-the-end", COUNTS)

    generator = stream()
    next(generator)
    generator.close()

    assert cleaned_up == [True]
    assert meter.said == [("m", "cancelled", None), ("in-the-end", "cancelled", None)]


def test_a_generator_that_is_dropped_is_cancelled(meter):
    generator = sync_words(meter, *CHUNKS[::-1], model="gpt-4o")()
    next(generator)
    del generator
    gc.collect()

    assert meter.said == [("gpt-4o", "cancelled", None)]
    assert meter.call.usage.input_tokens == 1


def test_a_generator_that_ignores_its_closing_is_told_so(meter):
    @meter()
    def stream():
        try:
            yield 1
        except GeneratorExit:
            yield 2

    generator = stream()
    next(generator)
    with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
        generator.close()


def test_an_asynchronous_generator_that_is_closed_early_is_cancelled(meter):
    cleaned_up = []

    @meter()
    async def stream():
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            cleaned_up.append(True)
            report_usage("in-the-end", COUNTS)

    async def main():
        generator = stream()
        await generator.__anext__()
        await generator.aclose()

    asyncio.run(main())

    assert cleaned_up == [True]
    assert meter.said == [("in-the-end", "cancelled", None)]


def test_an_asynchronous_generator_that_is_dropped_is_cancelled(meter):
    async def main():
        async for _ in async_words(meter, "a", "b", model="gpt-4o")():
            break
        gc.collect()
        await asyncio.sleep(0.01)

    asyncio.run(main())

    assert meter.said == [("gpt-4o", "cancelled", None)]


def test_a_task_that_is_cancelled_in_a_stream_records_it(meter):
    begun = asyncio.Event()

    @meter()
    async def stream():
        report_usage("m", COUNTS)
        yield 1
        begun.set()
        await asyncio.sleep(60)
        yield 2

    async def main():
        async def consume():
            async for _ in stream():
                pass

        task = asyncio.create_task(consume())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())

    assert meter.said == [("m", "cancelled", None)]


def test_a_timeout_works_inside_a_stream(meter):
    @meter()
    async def stream():
        try:
            async with asyncio.timeout(0.001):
                await asyncio.sleep(60)
        except TimeoutError:
            yield "late"
        report_usage("m", COUNTS)

    assert drained(stream()) == ["late"]
    assert meter.said == [("m", "ok", None)]


var = contextvars.ContextVar("var", default="outside")


@both
def test_what_a_stream_sets_in_its_context_stays_with_it(meter, words):
    @meter()
    def sync_stream():
        var.set("inside")
        with attributed(user="u1"):
            for _ in range(3):
                assert var.get() == "inside"
                yield current_attribution().attributes["user"]
            report_usage("m", COUNTS)

    @meter()
    async def async_stream():
        for each in sync_stream():
            yield each

    async def consume():
        found = []
        async for each in async_stream():
            assert var.get() == "outside"
            assert "user" not in current_attribution().attributes
            found.append(each)
        return found

    if words is async_words:
        assert asyncio.run(consume()) == ["u1"] * 3
    else:
        for each in sync_stream():
            assert var.get() == "outside"
            assert each == "u1"
            assert current_attribution().attributes == {}

    assert meter.call.attribution.attributes == {"user": "u1", "query_type": "rag"}


def test_each_item_may_be_taken_in_another_thread(meter):
    @meter()
    def stream():
        with attributed(user="u1"):
            yield 1
            yield 2
            report_usage("m", COUNTS)

    generator = stream()

    async def main():
        # As Starlette takes a stream: each item in a thread with a copy of the context.
        return [await asyncio.to_thread(next, generator, None) for _ in range(3)]

    assert asyncio.run(main()) == [1, 2, None]
    assert meter.call.attribution.attributes["user"] == "u1"


def test_what_a_reader_of_a_stream_reports_is_not_the_streams(meter):
    @meter("outer")
    def outer():
        for _ in sync_words(meter, "a", "b", then=a_response)():
            report_usage("outers", COUNTS)

    outer()

    assert [
        (call.model, each) for call, each in zip(meter.calls, meter.query_types, strict=True)
    ] == [
        ("gpt-4o", "rag"),
        ("outers", "outer"),
        ("outers", "outer"),
    ]


def test_what_only_makes_a_generator_is_run_under_the_meter(meter):
    def make(item):
        yield item
        report_usage("m", COUNTS)

    async def make_async(item):
        yield item
        report_usage("n", COUNTS)

    assert drained(meter()(lambda: make(1))()) == [1]
    assert drained(meter()(lambda: make_async(1))()) == [1]
    assert meter.said == [("m", "ok", None), ("n", "ok", None)]
    assert meter.refused == []


def echo(log):
    """Answers whatever it is sent or thrown, and ends on request."""
    answer = "begun"
    while True:
        try:
            sent = yield answer
        except ThrownError as error:
            log.append("thrown")
            answer = f"caught {error}"
        else:
            log.append(sent)
            if sent == "return":
                return "returned"
            if sent == "raise":
                raise KeyError("raised")
            answer = f"got {sent}"


async def async_echo(log):
    inner = echo(log)
    answer = next(inner)
    while True:
        await asyncio.sleep(0)
        try:
            sent = yield answer
        except ThrownError as error:
            answer = inner.throw(error)
            continue
        try:
            answer = inner.send(sent)
        except StopIteration:
            return


def test_an_error_thrown_in_leaves_no_circle_for_the_garbage_collector(meter):
    generator = sync_words(meter, "a")()
    next(generator)
    gc.collect()
    gc.disable()
    try:
        error = ThrownError("it")
        gone = weakref.ref(error)
        with contextlib.suppress(ThrownError):
            generator.throw(error)
        del error, generator
        assert gone() is None
    finally:
        gc.enable()


STEPS = st.lists(st.sampled_from(["next", "x", "throw", "stray", "return", "raise", "close"]))


def stepped(generator, steps):
    """Return what each step does."""
    found = []
    for step in steps:
        try:
            if step == "next":
                found.append(next(generator))
            elif step == "throw":
                found.append(generator.throw(ThrownError("it")))
            elif step == "stray":
                found.append(generator.throw(OSError("it")))
            elif step == "close":
                found.append(generator.close())
            else:
                found.append(generator.send(step))
        except (StopIteration, KeyError, OSError, ThrownError, TypeError) as error:
            found.append((type(error), getattr(error, "value", None), str(error)))
    return found


async def async_stepped(generator, steps):
    found = []
    for step in steps:
        try:
            if step == "next":
                found.append(await generator.__anext__())
            elif step == "throw":
                found.append(await generator.athrow(ThrownError("it")))
            elif step == "stray":
                found.append(await generator.athrow(OSError("it")))
            elif step == "close":
                found.append(await generator.aclose())
            else:
                found.append(await generator.asend(step))
        except (StopAsyncIteration, KeyError, OSError, ThrownError, TypeError) as error:
            found.append((type(error), str(error)))
    return found


@given(STEPS)
def test_a_decorated_generator_answers_every_step_as_the_bare_one(steps):
    bare_log, log = [], []
    bare = stepped(echo(bare_log), steps)

    assert stepped(Meter()()(echo)(log), steps) == bare
    assert log == bare_log


@given(STEPS)
def test_a_decorated_async_generator_answers_every_step_as_the_bare_one(steps):
    bare_log, log = [], []

    async def main():
        bare = await async_stepped(async_echo(bare_log), steps)
        assert await async_stepped(Meter()()(async_echo)(log), steps) == bare

    asyncio.run(main())

    assert log == bare_log
