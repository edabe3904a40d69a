"""Threads for stores that wait for a network, so that an event loop never does."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Generic, TypeVar

from spendfuse.errors import SettingsError
from spendfuse.metering.forks import renew_after_fork

logger = logging.getLogger(__name__)
MAX_THREADS = 32
_Value = TypeVar("_Value")


class Workers:
    """A small thread pool: made when it is first needed, and anew in a forked child."""

    def __init__(self, *, max_threads: int = MAX_THREADS) -> None:
        self._max_threads = max_threads
        self._is_closed = False
        self._minds_the_loop = True
        self._renew()
        renew_after_fork(self._renew)

    def _renew(self) -> None:
        # A forked child has none of its parent's threads.
        self._lock = threading.Lock()
        self._here = threading.local()
        self._put_aside: deque[Callable[[], object]] = deque()
        self._executor: ThreadPoolExecutor | None = None

    def submit(self, work: Callable[[], _Value]) -> Future[_Value]:
        """Run ``work`` in a thread, in a copy of this context."""
        self._here.is_submitting = True
        try:
            return self._submitted(work)
        finally:
            self._here.is_submitting = False
            while self._put_aside:
                with suppress(IndexError):  # another thread was quicker
                    self.later(self._put_aside.popleft())

    def _submitted(self, work: Callable[[], _Value]) -> Future[_Value]:
        with self._lock:
            if self._is_closed:
                raise SettingsError("the guard is closed; make a new one")
            if self._executor is None:
                self._executor = ThreadPoolExecutor(
                    self._max_threads, thread_name_prefix="spendfuse-guard"
                )
            try:
                return self._executor.submit(copy_context().run, work)
            except RuntimeError as error:
                raise SettingsError("the interpreter ends: the guard has no threads") from error

    async def run(self, work: Callable[[], _Value], *, undo: Callable[[_Value], object]) -> _Value:
        """Return what ``work`` does; ``undo`` it in its thread where nobody waits for it any more.

        Work that has not begun when the awaiting task is cancelled does not begin.
        """
        attempt = _Attempt(work, undo)
        future = self.submit(attempt.make)
        try:
            return await asyncio.wrap_future(future)
        except (asyncio.CancelledError, GeneratorExit):
            if attempt.abandon():
                # Made, but the task was cancelled, or closed, before it could take it.
                self.later(attempt.take_back)
            raise

    async def finish(self, work: Callable[[], _Value]) -> _Value:
        """Return what ``work`` does; it is done even if the awaiting task is cancelled.

        Where there are no threads any more, the loop waits for it: what was spent must count.
        """
        try:
            future = self.submit(work)
        except SettingsError:
            return work()
        return await asyncio.shield(asyncio.wrap_future(future))

    def later(self, work: Callable[[], object]) -> None:
        """Run ``work`` in a thread; where there are none any more, here.

        The garbage collector may call this in the middle of any step, of ``submit`` too: what
        comes then is submitted after that.
        """
        if getattr(self._here, "is_submitting", False):
            self._put_aside.append(partial(copy_context().run, work))
            return
        try:
            self.submit(work)
        except SettingsError:
            work()

    def mind_the_loop(self, step: str) -> None:
        """Say once that a step keeps an event loop waiting, and what to call there."""
        if self._minds_the_loop and _runs_a_loop():
            self._minds_the_loop = False
            logger.warning(
                "%s() keeps an event loop waiting for the guard's store; in coroutines, await "
                "%s_async() or enter `async with guard.reserving(…)` (logged once)",
                step,
                step,
            )

    def close(self) -> None:
        """Wait for what runs, and take nothing more."""
        with self._lock:
            self._is_closed = True
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown()


class _Attempt(Generic[_Value]):
    """Work whose result somebody takes, or nobody: then it is undone, once."""

    def __init__(self, work: Callable[[], _Value], undo: Callable[[_Value], object]) -> None:
        self._work = work
        self._undo = undo
        self._lock = threading.Lock()
        self._is_abandoned = False
        self._made: list[_Value] = []

    def make(self) -> _Value:
        value = self._work()
        with self._lock:
            self._made.append(value)
            is_abandoned = self._is_abandoned
        if is_abandoned:
            self._undo(value)
        return value

    def abandon(self) -> bool:
        """Say that nobody takes it; return whether it is made already, to be taken back."""
        with self._lock:
            self._is_abandoned = True
            return bool(self._made)

    def take_back(self) -> None:
        for value in self._made:
            self._undo(value)


def _runs_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
