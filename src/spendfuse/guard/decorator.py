"""A decorator that lets a function run only where its cost fits into the budgets.

Functions, coroutine functions, generators and asynchronous generators stay what they are.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextvars import copy_context
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, NamedTuple, TypeVar

from spendfuse.errors import SettingsError
from spendfuse.guard.arguments import Arguments
from spendfuse.guard.guard import Guard
from spendfuse.guard.reservation import Reservation
from spendfuse.metering.stepping import Stepped, stepped

Function = TypeVar("Function", bound=Callable[..., Any])
_AnyFunction = Callable[..., Any]


def guarded(
    guard: Guard, estimate_usd: object = None, **options: Any
) -> Callable[[Function], Function]:
    """Reserve for each call of the decorated function, and settle what the meter records in it.

    It ends as a reservation's ``with`` does: see ``Reservation``. A generator is reserved for at
    its first step and ends with its last; one that is closed half-way was cancelled. The
    function is not called where it is refused; the refusal is raised.

    Put it above ``@track_llm_cost``, so that what that records is inside.

    Args:
        guard: whose budgets hold.
        estimate_usd: dollars; or leave it out and give ``model`` and ``prompt``.
        **options: as for ``Guard.reserve``. A callable is called with those arguments of the
            function that it names: ``user=lambda request: request.user_id``. ``prompt`` is the
            name of an argument, and ``user``, ``model`` and ``max_tokens`` may be: an argument
            that carries ``max_tokens`` is given what was reserved for.

    Example:
        >>> @guarded(guard, model="gpt-4o", prompt="text", max_tokens="limit", team="search")
        ... def answer(text: str, limit: int = 500) -> str:
        ...     return client.responses.create(input=text, max_output_tokens=limit).output_text

    Raises:
        SettingsError: ``guard`` is none, what is decorated is no function, or an option names an
            argument that the function does not have.
    """
    if not isinstance(guard, Guard):
        raise SettingsError(f"guard must be a Guard, got {type(guard).__name__}")
    options = {"estimate_usd": estimate_usd, **options}

    def decorate(function: Function) -> Function:
        if isinstance(function, classmethod | staticmethod) or not callable(function):
            raise SettingsError(
                f"guarded decorates functions, got {function!r}; put it below @classmethod or "
                "@staticmethod"
            )
        return _guarded(_Plan(guard, Arguments(function, options)), function)  # type: ignore[return-value]

    return decorate


class _Held(NamedTuple):
    """One call that may happen, and what it is called with."""

    reservation: Reservation
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class _Plan:
    """How the calls of one function are reserved for."""

    def __init__(self, guard: Guard, arguments: Arguments) -> None:
        self._guard = guard
        self._arguments = arguments

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Held:
        reservation = self._guard.reserve(**self._arguments.options(args, kwargs))
        return self._held(reservation, args, kwargs)

    async def begin_async(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Held:
        reservation = await self._guard.reserve_async(**self._arguments.options(args, kwargs))
        return self._held(reservation, args, kwargs)

    def _held(
        self, reservation: Reservation, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> _Held:
        return _Held(reservation, *self._arguments.with_limit(reservation.max_tokens, args, kwargs))


class _Begun(_Plan):
    """Of a call that was reserved for when what makes it was made."""

    def __init__(self, reservation: Reservation) -> None:
        self._reservation = reservation

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Held:
        return _Held(self._reservation, args, kwargs)

    async def begin_async(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Held:
        return self.begin(args, kwargs)


def _guarded(plan: _Plan, function: _AnyFunction) -> _AnyFunction:
    if inspect.iscoroutinefunction(function):
        return _coroutine_function(plan, function)
    if inspect.isasyncgenfunction(function):
        return _async_generator_function(plan, function)
    if inspect.isgeneratorfunction(function):
        return _generator_function(plan, function)
    return _function(plan, function)


def _function(plan: _Plan, function: _AnyFunction) -> _AnyFunction:
    @functools.wraps(function)
    def held(*args: Any, **kwargs: Any) -> Any:
        reservation, args, kwargs = plan.begin(args, kwargs)
        try:
            with reservation.listening():
                result = function(*args, **kwargs)
        except BaseException as error:
            reservation.end(error)
            raise
        later = _LATER.get(type(result))
        if later is None:
            reservation.end(None)
            return result
        # It has only made what makes the call: another decorator's wrapper does, or a lambda.
        return later(_Begun(reservation), lambda: result)()

    return held


def _coroutine_function(plan: _Plan, function: _AnyFunction) -> _AnyFunction:
    @functools.wraps(function)
    async def held(*args: Any, **kwargs: Any) -> Any:
        reservation, args, kwargs = await plan.begin_async(args, kwargs)
        async with reservation:
            return await function(*args, **kwargs)

    return held


def _generator_function(plan: _Plan, function: _AnyFunction) -> _AnyFunction:
    @functools.wraps(function)
    def held(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        reservation, args, kwargs = plan.begin(args, kwargs)
        try:
            context = copy_context()
            context.run(reservation.listen)
            result = yield from stepped(context, function(*args, **kwargs))
        except BaseException as error:
            reservation.end(error)
            raise
        reservation.end(None)
        return result

    return held


def _async_generator_function(plan: _Plan, function: _AnyFunction) -> _AnyFunction:
    @functools.wraps(function)
    async def held(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        reservation, args, kwargs = await plan.begin_async(args, kwargs)
        try:
            context = copy_context()
            context.run(reservation.listen)
            inner = function(*args, **kwargs)
            step = inner.asend(None)
            while True:
                item = await Stepped(context, step)
                try:
                    step = inner.asend((yield item))
                except GeneratorExit:
                    await Stepped(context, inner.aclose())
                    raise
                except BaseException as error:  # noqa: BLE001 (thrown in: the inner one's affair)
                    step = inner.athrow(error)
        except StopAsyncIteration:
            await reservation.end_async(None)
        except BaseException as error:
            await reservation.end_async(error)
            raise

    return held


_LATER: Mapping[type, Callable[[_Plan, _AnyFunction], _AnyFunction]] = {
    CoroutineType: _coroutine_function,
    GeneratorType: _generator_function,
    AsyncGeneratorType: _async_generator_function,
}
