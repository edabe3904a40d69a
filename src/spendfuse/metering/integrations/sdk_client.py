"""Metering a client of OpenAI's or Anthropic's SDK: both were generated alike.

Every method of such a client, of its copies and of its raw and streaming variants sends its call
through the client's public ``request``. That one method is replaced on a copy of the client, made
the SDK's own way. So the copy is of the client's class, with all its methods and type hints; the
client that was handed in stays as it was; retries inside the SDK are one call; and what a new
version of the SDK adds is metered too.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from spendfuse.metering.attribution import Scalar
from spendfuse.metering.integrations.background import Background, UsageWatch, running_id
from spendfuse.metering.integrations.body_watch import BodyWatch
from spendfuse.metering.integrations.call import Estimate, MeteredCall, status_of
from spendfuse.metering.integrations.meter import Meter, checked_meter
from spendfuse.metering.integrations.stream_watch import StreamWatch
from spendfuse.metering.integrations.taps import watch_body, watch_events
from spendfuse.metering.reporting import mark_counted
from spendfuse.metering.responses.fields import fields_of

_RAW_MODE = "X-Stainless-Raw-Response"
_UNSENT = frozenset(("ConnectTimeout", "PoolTimeout"))
"""The HTTP library's errors below a time-out that happened before the request was out."""
_OURS = ("stream_options", "include_usage")
"""What we add to a request, as a server may name it that doesn't know it."""
_Client = TypeVar("_Client")


class Operation(NamedTuple):
    """An endpoint that costs money."""

    estimate: Estimate
    usage_on_request: bool = False
    """Whether its streams say what was used only if ``include_usage`` is asked for."""


_NEW = Operation("none")


class Sdk(NamedTuple):
    """Where one vendor's SDK differs from the other's."""

    operations: Mapping[str, Operation]
    """By the end of the path."""
    provider_of: Callable[[Any], str]
    streams: tuple[type, ...]
    timeouts: tuple[type[Exception], ...]
    """After these the provider may still be working, and will bill it."""
    refusals: tuple[type[Exception], ...]
    """By these a provider says that a request is malformed; it bills nothing."""


@dataclass(slots=True)
class Begun:
    """A call on its way."""

    call: MeteredCall
    raw_mode: str
    """Empty, unless the app wants the HTTP response; "stream" if it reads that itself."""
    unasked: Any = None
    """The request's body without our ``include_usage``; None where we asked for nothing."""
    unparsed: list[Any] = field(default_factory=list)
    """The answer as it was before the app's parser ran, which may fail on it."""
    counts_by_usage: bool = False
    """Whether it counts only if its answer has usage: it asks how an earlier call is getting on, or
    its endpoint is newer than this file."""


class ClientMeter:
    """Meters the calls of one client."""

    def __init__(
        self, sdk: Sdk, tracker: Meter, provider: str, values: Mapping[str, Scalar]
    ) -> None:
        self._sdk = sdk
        self._tracker = checked_meter(tracker)
        self._provider = provider
        self._values = values
        self._may_ask = True
        self._background = Background()

    def metered(self, client: _Client) -> _Client:
        """Return a copy of ``client`` whose calls, and whose copies' calls, are metered."""
        # From the class: a client that is metered already shall not be metered twice.
        copy: _Client = type(client).with_options(client)  # type: ignore[attr-defined]
        self._attach(copy)
        return copy

    def _attach(self, client: Any) -> Any:
        request = client.request
        is_async = inspect.iscoroutinefunction(request)
        make = type(client).with_options

        def copied(**options: Any) -> Any:
            return self._attach(make(client, **options))

        # In the instance's dictionary: an SDK may forbid to set what it does not know.
        vars(client).update(
            {
                "request": (self._async_request if is_async else self._request)(client, request),
                "copy": copied,
                "with_options": copied,
            }
        )
        return client

    def _request(self, client: Any, request: Callable[..., Any]) -> Callable[..., Any]:
        def metered_request(cast_to: Any, options: Any, *args: Any, **more: Any) -> Any:
            begun = self._begun(client, options, more)
            if begun is None:
                return request(cast_to, options, *args, **more)
            try:
                try:
                    result = request(cast_to, options, *args, **more)
                except self._sdk.refusals as error:
                    if not self._takes_back(begun, options, error):
                        raise
                    result = request(cast_to, options, *args, **more)
            except BaseException as error:
                self._failed(begun, error)
                raise
            parsed = self._quietly(self._parsed, begun, result)
            self._quietly(self._answered, begun, result, parsed)
            return result

        return metered_request

    def _async_request(
        self, client: Any, request: Callable[..., Awaitable[Any]]
    ) -> Callable[..., Awaitable[Any]]:
        async def metered_request(cast_to: Any, options: Any, *args: Any, **more: Any) -> Any:
            begun = self._begun(client, options, more)
            if begun is None:
                return await request(cast_to, options, *args, **more)
            try:
                try:
                    result = await request(cast_to, options, *args, **more)
                except self._sdk.refusals as error:
                    if not self._takes_back(begun, options, error):
                        raise
                    result = await request(cast_to, options, *args, **more)
            except BaseException as error:
                self._failed(begun, error)
                raise
            parsed = self._quietly(self._parsed, begun, result)
            if inspect.isawaitable(parsed):
                # Its bytes have arrived: nothing is waited for.
                parsed = await self._quietly_awaited(parsed)
            self._quietly(self._answered, begun, result, parsed)
            return result

        return metered_request

    def _begun(self, client: Any, options: Any, more: Mapping[str, Any]) -> Begun | None:
        begun: Begun | None = self._quietly(self._begin, client, options, more)
        return begun

    def _begin(self, client: Any, options: Any, more: Mapping[str, Any]) -> Begun | None:
        operation, headers = self._operation(options), options.headers
        raw_mode = headers.get(_RAW_MODE, "") if isinstance(headers, Mapping) else ""
        earlier = self._background.call_of(options.url) if operation is None else None
        if earlier is not None:
            return Begun(earlier, raw_mode, counts_by_usage=True)
        body = options.json_data if isinstance(options.json_data, Mapping) else {}
        extra = options.extra_json or {}
        is_new = operation is None and options.method.lower() == "post" and body.get("model")
        operation = _NEW if is_new else operation
        if operation is None:
            return None
        call = MeteredCall(
            self._tracker,
            provider=self._provider or self._sdk.provider_of(client),
            model=str(extra.get("model") or body.get("model") or ""),
            values=self._values,
            body=body,
            estimate=operation.estimate,
        )
        begun = Begun(call, raw_mode, counts_by_usage=bool(is_new))
        if callable(options.post_parser):
            options.post_parser = _keeping(begun.unparsed, options.post_parser)
        asks = operation.usage_on_request and more.get("stream") and raw_mode != "stream"
        if asks and self._may_ask and "stream_options" not in extra:
            begun.unasked = _ask_for_usage(options, body)
        return begun

    def _operation(self, options: Any) -> Operation | None:
        if options.method.lower() != "post":
            return None
        path = options.url.partition("?")[0]
        operations = self._sdk.operations
        if path in operations:
            return operations[path]
        return next((each for end, each in operations.items() if path.endswith(end)), None)

    def _takes_back(self, begun: Begun, options: Any, error: Exception) -> bool:
        """Return whether the call shall be sent again without what we added to it."""
        if begun.unasked is None or not any(name in str(error) for name in _OURS):
            return False
        # This server doesn't know it. From now on its streams are estimated.
        self._may_ask = False
        options.json_data, begun.unasked = begun.unasked, None
        return True

    def _parsed(self, begun: Begun, result: Any) -> Any:
        """Return what the app will get of a raw response: the SDK keeps it, and parses once."""
        is_raw = begun.raw_mode and begun.raw_mode != "stream"
        return result.parse() if is_raw else result

    def _answered(self, begun: Begun, result: Any, parsed: Any) -> None:
        call = begun.call
        if begun.raw_mode == "stream" and begun.counts_by_usage:
            return
        if begun.raw_mode == "stream":
            watch_body(result.http_response, BodyWatch(call, result.headers))
        elif isinstance(parsed, self._sdk.streams):
            self._watch(begun, parsed)
        elif running := running_id(parsed):
            self._background.put(running, call)
        elif not begun.counts_by_usage or fields_of(parsed).get("usage") is not None:
            call.answered(begun.unparsed[-1] if begun.unparsed else parsed)
            self._background.forget(parsed)
        mark_counted(result)
        mark_counted(parsed)

    def _watch(self, begun: Begun, stream: Any) -> None:
        call = begun.call
        watch = (
            UsageWatch(call)
            if begun.counts_by_usage
            else StreamWatch(call, hides_usage=begun.unasked is not None)
        )
        try:
            watch_events(stream, watch, is_async=hasattr(type(stream), "__aiter__"))
        except AttributeError:
            self._tracker.refuse("streams of this version of the SDK can't be watched")
            call.unsaid()

    def _failed(self, begun: Begun, error: BaseException) -> None:
        mark_counted(error)
        if begun.counts_by_usage:
            return
        if begun.unparsed:
            # The answer came, and the app's own type refused it.
            begun.call.answered(begun.unparsed[-1], status=status_of(error), error=error)
        else:
            is_timeout = isinstance(error, self._sdk.timeouts)
            was_sent = is_timeout and type(error.__cause__).__name__ not in _UNSENT
            begun.call.failed(error, was_sent=was_sent)

    def _quietly(self, step: Callable[..., Any], *args: Any) -> Any:
        try:
            return step(*args)
        except Exception as error:  # noqa: BLE001 (the app's call must not fail for its meter)
            self._tracker.refuse(f"a call that can't be metered: {type(error).__name__}")
            return None

    async def _quietly_awaited(self, parsed: Awaitable[Any]) -> Any:
        try:
            return await parsed
        except Exception as error:  # noqa: BLE001 (as above; the app will meet it when it parses)
            self._tracker.refuse(f"a call that can't be metered: {type(error).__name__}")
            return None


def _ask_for_usage(options: Any, body: Mapping[str, Any]) -> Any:
    """Ask for usage at a stream's end, unless the caller chose; return the body before."""
    asked = body.get("stream_options")
    chosen = asked if isinstance(asked, Mapping) else {}
    if "include_usage" in chosen:
        return None
    options.json_data = {**body, "stream_options": {**chosen, "include_usage": True}}
    return body


def _keeping(kept: list[Any], parser: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def keeping_parser(answer: Any) -> Any:
        kept.append(answer)
        return parser(answer)

    return keeping_parser
