"""Runs a generator, or an awaitable, in a context of its own, step by step.

What it sets in context variables stays with it: it is there again at the next step, in whatever
thread or task that comes, and whoever takes its items never sees it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextvars import Context
from typing import Any


def stepped(
    context: Context,
    inner: Generator[Any, Any, Any],
    saw: Callable[[Any], None] | None = None,
) -> Generator[Any, Any, Any]:
    """Delegate to ``inner`` as ``yield from`` does (PEP 380), but inside ``context``.

    Args:
        context: Where it runs.
        inner: Sends, throws, closing and the return value go through.
        saw: Told each item that comes out.
    """
    step: Callable[[Any], Any] = inner.send
    value: Any = None
    while True:
        try:
            item = context.run(step, value)
        except StopIteration as stop:
            return stop.value
        finally:
            # A frame that keeps an error, whose traceback keeps the frame, is freed late.
            value = None
        if saw is not None:
            saw(item)
        try:
            value = yield item
            step = inner.send
        except GeneratorExit:
            context.run(inner.close)
            raise
        except BaseException as error:  # noqa: BLE001 (thrown in: it is the inner one's affair)
            step, value = inner.throw, error


class Stepped(Awaitable[Any]):
    """Awaits ``inner``, an asynchronous generator's step, inside ``context``."""

    def __init__(self, context: Context, inner: Any) -> None:
        self._context = context
        self._inner = inner

    def __await__(self) -> Generator[Any, Any, Any]:
        return stepped(self._context, self._inner)
