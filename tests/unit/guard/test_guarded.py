"""``@guarded``: a function runs only where its cost fits, however it is written."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
from types import SimpleNamespace

import pytest
from unit.guard.guards import FarStore, book, call, held, limit, spent, tracker

from spendfuse.errors import SettingsError
from spendfuse.guard import BudgetExceededError, Guard, guarded
from spendfuse.metering import track_llm_cost

COST = 0.0125
MODEL = {"model": "gpt-4o"}


def a_guard(*budgets, **options) -> Guard:
    return Guard(list(budgets or [limit()]), prices=book(), **options)


def users_guard(**options) -> Guard:
    return a_guard(limit(per="user"), **options)


def run_all(function, *args, **kwargs):
    """Call a function of any kind to its end; return what came out."""
    result = function(*args, **kwargs)
    if inspect.iscoroutine(result):
        return asyncio.run(_awaited(result))
    if inspect.isasyncgen(result):
        return asyncio.run(_listed(result))
    return list(result) if inspect.isgenerator(result) else result


async def _awaited(coroutine):
    return await coroutine


async def _listed(generator):
    return [each async for each in generator]


def plain(what="x"):
    call()
    return what


async def coroutine(what="x"):
    await asyncio.sleep(0)
    call()
    return what


def generator(what="x"):
    yield what
    call()
    yield what


async def async_generator(what="x"):
    yield what
    await asyncio.sleep(0)
    call()
    yield what


KINDS = [plain, coroutine, generator, async_generator]


@pytest.mark.parametrize("store", [None, FarStore])
@pytest.mark.parametrize("function", KINDS)
def test_what_a_function_s_calls_cost_is_settled(function, store) -> None:
    guard = a_guard(store=store and store())

    held_function = guarded(guard, "0.2")(function)

    assert run_all(held_function, "y") == run_all(function, "y")
    assert (spent(guard), held(guard)) == (COST, 0)
    assert held_function.__name__ == function.__name__


@pytest.mark.parametrize("function", KINDS)
def test_a_decorated_function_stays_what_it_is(function) -> None:
    held_function = guarded(a_guard(), "0.2")(function)

    for kind in ("iscoroutinefunction", "isgeneratorfunction", "isasyncgenfunction"):
        assert getattr(inspect, kind)(held_function) == getattr(inspect, kind)(function)


@pytest.mark.parametrize("function", KINDS)
def test_a_refused_function_does_not_run(function) -> None:
    ran = []

    @functools.wraps(function)
    def watched(*args):
        ran.append(args)
        return function(*args)

    with pytest.raises(BudgetExceededError):
        run_all(guarded(a_guard(), "2")(watched))
    with pytest.raises(BudgetExceededError):
        run_all(guarded(a_guard(), "2")(function))

    assert not ran


@pytest.mark.parametrize("store", [None, FarStore])
@pytest.mark.parametrize("function", KINDS)
def test_what_only_makes_the_call_is_held_until_that_ends(function, store) -> None:
    guard = a_guard(store=store and store())

    held_function = guarded(guard, "0.2")(lambda: function("y"))

    assert run_all(held_function) == run_all(function, "y")
    assert (spent(guard), held(guard)) == (COST, 0)


def test_an_error_releases_and_is_raised() -> None:
    guard = a_guard()

    @guarded(guard, "0.2")
    def fails():
        raise ValueError("mine")

    @guarded(guard, "0.2")
    async def fails_later():
        raise ValueError("mine")

    @guarded(guard, "0.2")
    def fails_at_its_first_step():
        raise ValueError("mine")
        yield

    @guarded(guard, "0.2")
    async def fails_at_its_first_asynchronous_step():
        raise ValueError("mine")
        yield

    for each in (fails, fails_later, fails_at_its_first_step, fails_at_its_first_asynchronous_step):
        with pytest.raises(ValueError, match="mine"):
            run_all(each)

    assert (spent(guard), held(guard)) == (0, 0)
    assert guard.health().released == 4


def test_a_generator_that_nobody_begins_holds_nothing() -> None:
    guard = a_guard()

    guarded(guard, "0.2")(generator)().close()

    assert (spent(guard), held(guard)) == (0, 0)


def test_a_generator_closed_half_way_costs_its_input() -> None:
    guard = a_guard()
    stream = guarded(guard, **MODEL, prompt=lambda: 10_000, max_tokens=100)(generator)()
    next(stream)

    stream.close()

    assert (spent(guard), held(guard)) == (0.025, 0)


def test_a_generator_that_is_forgotten_half_way_is_charged() -> None:
    guard = a_guard()
    stream = guarded(guard, "0.2")(generator)()
    next(stream)

    del stream
    gc.collect()

    assert (spent(guard), held(guard)) == (0.2, 0)


@pytest.mark.parametrize("store", [None, FarStore])
def test_an_asynchronous_generator_closed_half_way_costs_its_input(store) -> None:
    guard = a_guard(store=store and store())

    async def work() -> None:
        stream = guarded(guard, **MODEL, prompt=lambda: 10_000, max_tokens=100)(async_generator)()
        await anext(stream)
        await stream.aclose()

    asyncio.run(work())
    guard._workers.close()

    assert (spent(guard), held(guard)) == (0.025, 0)


def test_a_generator_closed_half_way_costs_what_the_meter_recorded() -> None:
    guard = a_guard()

    @guarded(guard, "0.2")
    def stream():
        try:
            yield "x"
        finally:
            call(status="cancelled")

    items = stream()
    next(items)
    items.close()

    assert spent(guard) == COST


def test_an_asynchronous_generator_closed_half_way_cleans_up_inside() -> None:
    guard = a_guard()

    @guarded(guard, "0.2")
    async def stream():
        try:
            yield "x"
        finally:
            call(status="cancelled")

    async def work() -> None:
        items = stream()
        await anext(items)
        await items.aclose()

    asyncio.run(work())

    assert spent(guard) == COST


def test_what_a_callable_can_do_without_need_not_be_an_argument() -> None:
    guard = users_guard()

    guarded(guard, "0.2", user=lambda what, prefix="u": prefix + what)(plain)("1")

    assert spent(guard, user="u1") == COST


def test_sends_and_throws_reach_the_generator() -> None:
    guard = a_guard()

    @guarded(guard, "0.2")
    def echo():
        got = None
        while got != "end":
            try:
                got = yield got
            except KeyError:
                got = "thrown"
        call()
        return "done"

    items = echo()
    next(items)

    assert items.send("a") == "a"
    assert items.throw(KeyError()) == "thrown"
    with pytest.raises(StopIteration) as stop:
        items.send("end")
    assert stop.value.value == "done"
    assert spent(guard) == COST


def test_sends_and_throws_reach_the_asynchronous_generator() -> None:
    guard = a_guard()

    @guarded(guard, "0.2")
    async def echo():
        got = None
        while got != "end":
            try:
                got = yield got
            except KeyError:
                got = "thrown"
        call()

    async def work():
        items = echo()
        await anext(items)
        said = [await items.asend("a"), await items.athrow(KeyError())]
        with pytest.raises(StopAsyncIteration):
            await items.asend("end")
        return said

    assert asyncio.run(work()) == ["a", "thrown"]
    assert spent(guard) == COST


def test_a_generator_s_reservation_leaks_into_nobody_s_calls() -> None:
    guard = a_guard()
    items = guarded(guard, "0.2")(generator)()

    next(items)
    call()
    list(items)

    assert spent(guard) == COST


def test_a_task_cancelled_in_a_decorated_function_costs_its_input() -> None:
    guard = a_guard()

    @guarded(guard, **MODEL, prompt="text", max_tokens=10)
    async def answer(text):
        await asyncio.sleep(60)

    async def work() -> None:
        task = asyncio.create_task(answer("xyz" * 1000))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(work())

    assert (spent(guard), held(guard)) == (0.0025, 0)


def test_arguments_tell_who_and_what_by_callables_or_names() -> None:
    guard = users_guard()

    @guarded(
        guard, model="name", prompt="text", max_tokens="limit", user=lambda request: request.id
    )
    def answer(request, text, *, name="gpt-4o", limit=100):
        call()
        return limit

    @guarded(guard, "0.2", user="who")
    def named(who):
        call()

    answer(SimpleNamespace(id="u1"), "hello")
    answer(text="hello", request=SimpleNamespace(id="u1"), name="gpt-4o-mini")
    named("u2")

    assert (spent(guard, user="u1"), spent(guard, user="u2")) == (0.025, COST)


def test_an_estimate_may_depend_on_the_arguments() -> None:
    guard = a_guard()

    @guarded(guard, lambda pages: f"0.{pages}")
    def read(pages):
        return held(guard)

    assert (read(1), read(pages=3)) == (0.1, 0.3)


def test_arguments_in_kwargs_are_found() -> None:
    guard = users_guard()

    @guarded(guard, "0.2", user=lambda user_id: user_id)
    def answer(**kwargs):
        call()

    answer(user_id="u1")

    assert spent(guard, user="u1") == COST


def test_a_text_that_names_no_argument_is_the_value() -> None:
    guard = users_guard()

    @guarded(guard, "0.2", user="u1", team="search")
    def answer(search):
        call()

    answer("x")

    assert spent(guard, user="u1") == COST


def test_the_argument_for_max_tokens_gets_what_was_reserved_for() -> None:
    guard = a_guard(limit(0.01, mode="fit"))

    @guarded(guard, **MODEL, prompt=lambda: 1000, max_tokens="limit")
    def answer(text, limit=4000):
        call(cached=True)
        return limit

    @guarded(guard, **MODEL, prompt=lambda: 1000, max_tokens="limit")
    def without(limit=None):
        call(cached=True)
        return limit

    assert answer("x") == 750
    assert answer("x", 5) == 5
    assert answer("x", limit=5) == 5
    assert without() == 750


def test_a_method_is_decorated_below_classmethod() -> None:
    guard = users_guard()

    class Service:
        user = "u1"

        @guarded(guard, "0.2", user=lambda self: self.user)
        def answer(self):
            call()

        @classmethod
        @guarded(guard, "0.2", user="u2")
        def shared(cls):
            call()

    Service().answer()
    Service.shared()

    assert (spent(guard, user="u1"), spent(guard, user="u2")) == (COST, COST)
    with pytest.raises(SettingsError, match="classmethod"):
        guarded(guard, "0.2")(classmethod(plain))


@pytest.mark.parametrize(
    "options",
    [
        {"prompt": "nothing"},
        {"max_tokens": "nothing"},
        {"user": lambda nobody: nobody},
        {"user": lambda *all_of_them: all_of_them},
        {"team": print},
    ],
)
def test_a_name_that_is_no_argument_is_said_when_decorating(options) -> None:
    with pytest.raises(SettingsError, match=next(iter(options))):
        guarded(a_guard(), **MODEL, **options)(plain)


def test_only_functions_and_guards_will_do() -> None:
    with pytest.raises(SettingsError, match="Guard"):
        guarded("0.2")
    with pytest.raises(SettingsError, match="functions"):
        guarded(a_guard(), "0.2")(5)


def test_a_builtin_that_does_not_say_its_arguments_is_refused_when_decorating() -> None:
    with pytest.raises(SettingsError, match="does not say"):
        guarded(a_guard(), "0.2")(min)


def test_a_call_with_wrong_arguments_fails_as_ever_and_holds_nothing() -> None:
    guard = a_guard()
    both = [guarded(guard, "0.2")(plain), guarded(guard, "0.2", user=lambda what: what)(plain)]

    for each in both:
        with pytest.raises(TypeError):
            each(1, 2, 3)

    assert (spent(guard), held(guard)) == (0, 0)


def test_the_meter_s_decorator_below_is_inside() -> None:
    guard = a_guard()

    @guarded(guard, "0.2")
    @track_llm_cost(tracker=tracker())
    def answer():
        usage = {"prompt_tokens": 1000, "completion_tokens": 1000}
        return {"model": "gpt-4o", "object": "chat.completion", "usage": usage}

    answer()

    assert spent(guard) == COST
    assert guard.health().unreported == 0
