"""Iterators that let a watch see what passes, and how it ends.

They stand where the SDK's own iterator stood, so that the stream object stays the SDK's.
"""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterator, Iterator
from functools import cache
from typing import Any, Protocol


class Watch(Protocol):
    """Told of each event, and at least once of an end; none of these raises."""

    def shows(self, event: Any) -> bool:
        """See an event, and return whether the app shall see it too."""
        ...

    def ended(self) -> None: ...

    def broke(self, error: BaseException) -> None: ...

    def closed(self) -> None:
        """The app has closed the stream, early or after its end."""
        ...

    def dropped(self) -> None:
        """As ``closed``, but from a finalizer, where no lock may be taken."""
        ...


class Tap:
    __slots__ = ("__weakref__", "_source", "_watch", "is_reading")

    def __init__(self, source: Iterator[Any], watch: Watch) -> None:
        self._source = source
        self._watch = watch
        self.is_reading = False

    def __iter__(self) -> Tap:
        return self

    def __next__(self) -> Any:
        while True:
            self.is_reading = True
            try:
                event = next(self._source)
            except StopIteration:
                self._watch.ended()
                raise
            except BaseException as error:
                self._watch.broke(error)
                raise
            finally:
                self.is_reading = False
            if self._watch.shows(event):
                return event

    @property
    def is_being_finalized(self) -> bool:
        """Whether the source runs although nobody reads: its clean-up does."""
        return not self.is_reading and getattr(self._source, "gi_running", False)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)


class AsyncTap:
    __slots__ = ("__weakref__", "_source", "_watch", "is_reading")

    def __init__(self, source: AsyncIterator[Any], watch: Watch) -> None:
        self._source = source
        self._watch = watch
        self.is_reading = False

    def __aiter__(self) -> AsyncTap:
        return self

    async def __anext__(self) -> Any:
        while True:
            self.is_reading = True
            try:
                event = await anext(self._source)
            except StopAsyncIteration:
                self._watch.ended()
                raise
            except BaseException as error:
                self._watch.broke(error)
                raise
            finally:
                self.is_reading = False
            if self._watch.shows(event):
                return event

    @property
    def is_being_finalized(self) -> bool:
        return not self.is_reading and getattr(self._source, "ag_running", False)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)


def watch_events(stream: Any, watch: Watch, *, is_async: bool) -> None:
    """Watch what an SDK's stream yields, and the close of its response.

    Raises:
        AttributeError: this version of the SDK keeps its iterator elsewhere.
    """
    source = stream._iterator  # noqa: SLF001 (the one place that all ways to read it share)
    tap = AsyncTap(source, watch) if is_async else Tap(source, watch)
    stream._iterator = tap  # noqa: SLF001
    _watch_response(stream.response, _Ending(watch, tap))


def watch_body(response: Any, watch: Watch) -> None:
    """Watch the bytes of an HTTP response that the app reads in whatever way."""
    _watch_response(response, _Ending(watch, None, taps_bytes=True))


class _Ending:
    """Tells the watch of a close, unless the tap will, or somebody's finalizer closes."""

    def __init__(
        self, watch: Watch, tap: Tap | AsyncTap | None, *, taps_bytes: bool = False
    ) -> None:
        self._watch = watch
        self._taps_bytes = taps_bytes
        # Weakly: the tap's source holds the response, and a cycle would wait for the collector.
        self._tap = None if tap is None else weakref.ref(tap)

    def tap(self, source: Any, make: type[Tap | AsyncTap]) -> Any:
        if not self._taps_bytes:
            return source
        tap = make(source, self._watch)
        self._tap = weakref.ref(tap)
        return tap

    def closing(self) -> None:
        tap = None if self._tap is None else self._tap()
        # The collector clears references first, and then has generators clean up.
        is_gone = tap is None and self._tap is not None
        if is_gone or (tap is not None and tap.is_being_finalized):
            self._watch.dropped()
        elif tap is None or not tap.is_reading:
            self._watch.closed()


def _watch_response(response: Any, ending: _Ending) -> None:
    # By its class, because a method of its own would have to hold the response: a cycle again.
    kind: Any = type(response)
    response.__class__ = _watched(kind)
    response.spendfuse_ending = ending


@cache
def _watched(http_response: Any) -> type:
    """Return a class that is the HTTP library's response, but for these four methods."""

    class WatchedResponse(http_response):  # type: ignore[misc]
        def close(self) -> None:
            self.spendfuse_ending.closing()
            super().close()

        async def aclose(self) -> None:
            self.spendfuse_ending.closing()
            await super().aclose()

        def iter_bytes(self, *args: Any, **options: Any) -> Any:
            return self.spendfuse_ending.tap(super().iter_bytes(*args, **options), Tap)

        def aiter_bytes(self, *args: Any, **options: Any) -> Any:
            return self.spendfuse_ending.tap(super().aiter_bytes(*args, **options), AsyncTap)

    return WatchedResponse
