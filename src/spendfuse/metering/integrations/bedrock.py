"""Metering boto3's client for Bedrock: Converse and InvokeModel, whole and streamed.

boto3 makes a client's class at run time and has no way to copy a client. So the four methods are
replaced on a shallow copy, which shares connections, credentials and event
hooks; streams and bodies stay botocore's, and are watched as the app reads them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

from botocore.eventstream import EventStream
from botocore.exceptions import ReadTimeoutError
from botocore.response import StreamingBody

from spendfuse.errors import InputError
from spendfuse.metering.attribution import Scalar
from spendfuse.metering.integrations.call import MeteredCall
from spendfuse.metering.integrations.estimated import event_bytes
from spendfuse.metering.integrations.meter import Meter, checked_meter
from spendfuse.metering.integrations.stream_watch import StreamWatch
from spendfuse.metering.integrations.taps import Tap
from spendfuse.metering.record import Status
from spendfuse.metering.reporting import mark_counted
from spendfuse.metering.responses import read_response
from spendfuse.metering.responses.fields import text_of
from spendfuse.metering.usage import UsageError

PROVIDER = "aws"
MAX_BYTES = 8 * 1024 * 1024
"""Of a body that is kept until its end; a longer one is counted by its headers."""
_Client = TypeVar("_Client")
_Answered = Callable[[MeteredCall, dict[str, Any]], None]


def metered(client: _Client, tracker: Meter, /, **attributes: Scalar) -> _Client:
    """Return a copy of a ``bedrock-runtime`` client whose calls are tracked.

    Metered are ``converse``, ``converse_stream``, ``invoke_model`` and
    ``invoke_model_with_response_stream``; streamed ones at the end of their stream. InvokeModel is
    tracked when its body is read, or by the counts in its headers where it is not. The model is the
    ``modelId`` of the call, which names the region. The client itself stays unmetered; metering a
    metered client again replaces its meter.

    Args:
        client: From ``boto3.client("bedrock-runtime")``.
        tracker: Where the calls go.
        **attributes: Hold for every call, over what ``attributed()`` says.

    Raises:
        InputError: it is another service's client.

    Example:
        bedrock = metered(boto3.client("bedrock-runtime"), tracker, feature="search")
        bedrock.converse(modelId="eu.amazon.nova-lite-v1:0", messages=messages)
    """
    checked_meter(tracker)
    if not hasattr(type(client), "converse"):
        name = type(client).__name__
        raise InputError(f'expected a client of boto3.client("bedrock-runtime"), got {name}')
    # By hand: copy.copy asks the empty copy for a method, which boto3 looks up for ever.
    metered_client: _Client = object.__new__(type(client))
    vars(metered_client).update(vars(client))
    for name, answered in _METHODS.items():
        # From the class: a client that is metered already shall not be metered twice.
        method = getattr(type(client), name).__get__(metered_client)
        vars(metered_client)[name] = _metered_method(method, answered, tracker, attributes)
    return metered_client


def _metered_method(
    method: Callable[..., Any],
    answered: _Answered,
    tracker: Meter,
    attributes: Mapping[str, Scalar],
) -> Callable[..., Any]:
    def metered_method(*args: Any, **options: Any) -> Any:
        call = MeteredCall(
            tracker,
            provider=PROVIDER,
            model=str(options.get("modelId") or ""),
            values=attributes,
            body=options,
        )
        try:
            response = method(*args, **options)
        except BaseException as error:
            mark_counted(error)
            call.failed(error, was_sent=isinstance(error, ReadTimeoutError))
            raise
        try:
            answered(call, response)
            mark_counted(response)
        except Exception as problem:  # noqa: BLE001 (the app's call must not fail for its meter)
            call.unreadable(problem)
        return response

    metered_method.__name__ = method.__name__
    metered_method.__doc__ = method.__doc__
    return metered_method


def _whole(call: MeteredCall, response: dict[str, Any]) -> None:
    call.answered(response)


def _streamed(call: MeteredCall, response: dict[str, Any]) -> None:
    stream = response["stream" if "stream" in response else "body"]
    # By its class, so that whoever asks what it is gets botocore's answer.
    stream.__class__ = WatchedEventStream
    stream.watch = EventWatch(call)


def _invoked(call: MeteredCall, response: dict[str, Any]) -> None:
    body = response["body"]
    body.__class__ = WatchedBody
    body.watch = BodyWatch(call, response.get("ResponseMetadata", {}))


_METHODS: Mapping[str, _Answered] = {
    "converse": _whole,
    "converse_stream": _streamed,
    "invoke_model": _invoked,
    "invoke_model_with_response_stream": _streamed,
}


class EventWatch(StreamWatch):
    """Watches the events of ConverseStream, or the chunks of InvokeModel's."""

    __slots__ = ()

    def _see(self, event: Any) -> None:
        super()._see(event)
        if "chunk" in event:
            self._output_bytes += event_bytes(json.loads(event["chunk"]["bytes"]))


class WatchedEventStream(EventStream):  # type: ignore[misc]
    watch: EventWatch

    def __iter__(self) -> Any:
        return Tap(super().__iter__(), self.watch)

    def close(self) -> None:
        self.watch.closed()
        super().close()


class BodyWatch(StreamWatch):
    """Watches the body of one InvokeModel: the whole answer is there, whatever the app reads."""

    __slots__ = ("_kept", "_metadata")
    left: ClassVar[Status] = "ok"

    def __init__(self, call: MeteredCall, metadata: Mapping[str, Any]) -> None:
        super().__init__(call)
        self._metadata = metadata
        self._kept = bytearray()

    def _see(self, event: Any) -> None:
        if len(self._kept) <= MAX_BYTES:
            self._kept += event

    def _report(self, status: Status, error: BaseException | None) -> None:
        body = self._body()
        self._id = text_of(body.get("id"))
        try:
            read = read_response(
                {"ResponseMetadata": self._metadata, "body": body}, provider=PROVIDER
            )
        except UsageError as problem:
            self._call.unreadable(problem, status=status, error=error)
        else:
            self._call.used(read, status=status, error=error)

    def _body(self) -> Mapping[str, Any]:
        """Return what the app has read; nothing if it is not whole: then the headers count."""
        try:
            body = json.loads(self._kept) if len(self._kept) <= MAX_BYTES else {}
        except ValueError:
            return {}
        return body if isinstance(body, dict) else {}


class WatchedBody(StreamingBody):  # type: ignore[misc]
    watch: BodyWatch

    def read(self, amt: int | None = None) -> Any:
        try:
            chunk = super().read(amt)
        except Exception as error:
            self.watch.broke(error)
            raise
        self.watch.shows(chunk)
        if amt is None or (not chunk and amt > 0):
            self.watch.ended()
        return chunk

    def readinto(self, b: Any) -> Any:
        try:
            count = super().readinto(b)
        except Exception as error:
            self.watch.broke(error)
            raise
        self.watch.shows(bytes(memoryview(b)[:count]))
        if count == 0 and len(b) > 0:
            self.watch.ended()
        return count

    def __exit__(self, *failure: object) -> None:
        # Inside the block the app has botocore's raw stream, which nobody watches.
        self.watch.closed()
        super().__exit__(*failure)

    def close(self) -> None:
        self.watch.closed()
        super().close()
