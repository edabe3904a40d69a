"""A decorator that tracks the LLM calls of a function, however it is written and however it ends.

Functions, coroutine functions, generators and asynchronous generators stay what they are.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextvars import copy_context
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, TypeVar, overload

from spendfuse.errors import SettingsError
from spendfuse.metering.attribution import Scalar
from spendfuse.metering.decorated_call import DecoratedCall, FunctionMeter
from spendfuse.metering.integrations.meter import Meter, checked_meter
from spendfuse.metering.stepping import Stepped, stepped

Function = TypeVar("Function", bound=Callable[..., Any])
_AnyFunction = Callable[..., Any]


@overload
def track_llm_cost(query_type: Function, /) -> Function: ...


@overload
def track_llm_cost(
    query_type: str | None = None,
    *,
    tracker: Meter | None = None,
    model: str | None = None,
    provider: str = "",
    clock: Callable[[], float] = time.monotonic,
    **attributes: Scalar,
) -> Callable[[Function], Function]: ...


def track_llm_cost(
    query_type: Any = None,
    *,
    tracker: Meter | None = None,
    model: str | None = None,
    provider: str = "",
    clock: Callable[[], float] = time.monotonic,
    **attributes: Scalar,
) -> Any:
    """Track the LLM calls that the decorated function makes.

    What it reports with ``report_usage`` counts; if it reports nothing, the raw response that it
    returns, or the raw events that it yields. A call that an inner meter has counted (another
    decorated function, a wrapped client) is not counted again. A call without any usage is
    refused and logged, never made up.

    An error is recorded with its class and raised as it is; a generator that is closed early, and
    a task that is cancelled, are recorded as cancelled. The time that the function took becomes
    the latency where it made one call. A generator has a context of its own: what it sets in
    context variables, ``attributed()`` among them, lasts until its end and leaks to nobody.

    Without any tracker the function runs as if undecorated, and one error is logged: it may be
    decorated long before there is a tracker, and a request must not fail for want of its meter.

    Args:
        query_type: What kind of query this is.
        tracker: Where the calls go; else to the middleware around, else to the default tracker.
        model: Where the response does not name it (Bedrock).
        provider: Where the model's name does not tell.
        clock: Seconds, for the latency.
        **attributes: As for ``attributed``: user, team, feature, ….

    Example:
        >>> @track_llm_cost(query_type="summary", feature="reader")
        ... def summarise(text: str) -> str:
        ...     response = client.chat.completions.create(...)
        ...     report_usage(response.model, response.usage)
        ...     return response.choices[0].message.content

    Raises:
        SettingsError: ``tracker`` is none, what is decorated is no function, or an attribute is
            no plain value. A class method has ``@classmethod`` above ``@track_llm_cost``.
    """
    if callable(query_type):
        return track_llm_cost()(query_type)
    if tracker is not None:
        checked_meter(tracker)
    values = {"query_type": query_type, **attributes}
    for name, value in values.items():
        if value is not None and not isinstance(value, str | int | float):
            raise SettingsError(f"{name} must be text, a number or true or false, got {value!r}")

    def decorate(function: Function) -> Function:
        if isinstance(function, classmethod | staticmethod) or not callable(function):
            raise SettingsError(
                f"track_llm_cost decorates functions, got {function!r}; put it below @classmethod "
                "or @staticmethod"
            )
        name = getattr(function, "__qualname__", type(function).__name__)
        meter = FunctionMeter(
            name, tracker=tracker, model=model, provider=provider, values=values, clock=clock
        )
        return _metered(meter, function)  # type: ignore[return-value]

    return decorate


def _metered(meter: FunctionMeter, function: _AnyFunction) -> _AnyFunction:
    if inspect.iscoroutinefunction(function):
        return _coroutine_function(meter, function)
    if inspect.isasyncgenfunction(function):
        return _async_generator_function(meter, function)
    if inspect.isgeneratorfunction(function):
        return _generator_function(meter, function)
    return _function(meter, function)


def _function(meter: FunctionMeter, function: _AnyFunction) -> _AnyFunction:
    @functools.wraps(function)
    def metered(*args: Any, **kwargs: Any) -> Any:
        call = DecoratedCall(meter)
        call.begin()
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            call.end(error)
            raise
        later = _LATER.get(type(result))
        if later is None:
            call.end(None, result)
            return result
        # It has only made what makes the call: another decorator's wrapper does, or a lambda.
        call.counted(None)
        call.end(None)
        return later(meter, lambda: result)()

    return metered


def _coroutine_function(meter: FunctionMeter, function: _AnyFunction) -> _AnyFunction:
    @functools.wraps(function)
    async def metered(*args: Any, **kwargs: Any) -> Any:
        call = DecoratedCall(meter)
        call.begin()
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            call.end(error)
            raise
        call.end(None, result)
        return result

    return metered


def _generator_function(meter: FunctionMeter, function: _AnyFunction) -> _AnyFunction:
    @functools.wraps(function)
    def metered(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        context = copy_context()
        call = DecoratedCall(meter)
        context.run(call.begin)
        try:
            inner = function(*args, **kwargs)
            result = yield from stepped(context, inner, call.saw)
        except BaseException as error:
            context.run(call.end, error)
            raise
        context.run(call.end, None, result)
        return result

    return metered


def _async_generator_function(meter: FunctionMeter, function: _AnyFunction) -> _AnyFunction:
    @functools.wraps(function)
    async def metered(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        context = copy_context()
        call = DecoratedCall(meter)
        context.run(call.begin)
        try:
            inner = function(*args, **kwargs)
            step = inner.asend(None)
            while True:
                item = await Stepped(context, step)
                call.saw(item)
                try:
                    step = inner.asend((yield item))
                except GeneratorExit:
                    await Stepped(context, inner.aclose())
                    raise
                except BaseException as error:  # noqa: BLE001 (thrown in: the inner one's affair)
                    step = inner.athrow(error)
        except StopAsyncIteration:
            context.run(call.end, None)
        except BaseException as error:
            context.run(call.end, error)
            raise

    return metered


_LATER: Mapping[type, Callable[[FunctionMeter, _AnyFunction], _AnyFunction]] = {
    CoroutineType: _coroutine_function,
    GeneratorType: _generator_function,
    AsyncGeneratorType: _async_generator_function,
}
