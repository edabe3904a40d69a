"""One call of a decorated function: what was reported in it, how it ended, and where that goes."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping

from spendfuse.metering.attribution import Scalar, attributed, current_attribution
from spendfuse.metering.default_tracker import default_tracker
from spendfuse.metering.integrations.meter import Meter
from spendfuse.metering.record import Status
from spendfuse.metering.reporting import MeterReports, Reported, outlet, reports_around
from spendfuse.metering.responses import Response, StreamUsage, read_response
from spendfuse.metering.responses.fields import fields_of
from spendfuse.metering.usage import NO_USAGE, NOTHING_USED, UsageError

logger = logging.getLogger(__name__)
_MAX_REMEMBERED = 100
"""Results of the calls inside, kept until the function ends, so that none is counted twice."""
_MAX_CAUSES = 20
_UNKNOWN = Response("", "", NO_USAGE)


class FunctionMeter:
    """What was said where a function was decorated."""

    def __init__(
        self,
        name: str,
        *,
        tracker: Meter | None,
        model: str | None,
        provider: str,
        values: Mapping[str, Scalar],
        clock: Callable[[], float],
    ) -> None:
        self.name = name
        self.tracker = tracker
        self.model = model or ""
        self.provider = provider
        self.values = values
        self.clock = clock
        self._has_complained = False

    def complain(self) -> None:
        """Say once that there is no tracker: an error here would break the app's request."""
        if not self._has_complained:
            self._has_complained = True
            logger.error(
                "calls of %s are not metered: there is no tracker; pass track_llm_cost(tracker=…), "
                "or call set_default_tracker(tracker) when the app starts (logged once a function)",
                self.name,
            )


class DecoratedCall(MeterReports):
    """The collector of one call. Nothing that it does raises.

    Its reports go to the function's own tracker; else to the meter around it, which knows the
    request's user; else to the default tracker.
    """

    __slots__ = (
        "_around",
        "_attributed",
        "_attribution",
        "_began",
        "_counted",
        "_error_type",
        "_has_begun",
        "_has_counted",
        "_latency_ms",
        "_meter",
        "_outlet",
        "_status",
        "_stream",
    )

    def __init__(self, meter: FunctionMeter) -> None:
        around, tracker = reports_around(), meter.tracker
        if tracker is None and around is None:
            tracker = default_tracker()
        self._outlet = outlet(tracker)
        super().__init__(around.tracker if tracker is None and around is not None else tracker)
        self._meter = meter
        self._around = around
        self._attributed = attributed(**meter.values)  # type: ignore[arg-type]
        self._counted: deque[object] = deque(maxlen=_MAX_REMEMBERED)
        self._has_counted = False
        self._stream: StreamUsage | None = None
        self._has_begun = False
        self._status: Status = "ok"
        self._error_type: str | None = None
        self._latency_ms: int | None = None

    def begin(self) -> None:
        """Enter; whatever is called from here on in this context belongs to the call."""
        self.__enter__()
        self._attributed.__enter__()
        self._attribution = current_attribution()
        self._began = self._meter.clock()

    def end(self, error: BaseException | None, result: object = None) -> None:
        """Leave, in the context that began, and hand on what is known of the call."""
        try:
            took = self._meter.clock() - self._began
            self._attributed.__exit__(None, None, None)
            self.__exit__()
            self._settle(error, result, max(0, round(took * 1000)))
        except Exception as problem:  # noqa: BLE001 (the function's own end must stand)
            logger.warning(
                "a call of %s can't be metered: %s", self._meter.name, type(problem).__name__
            )

    def saw(self, item: object) -> None:
        """Look at what a generator yields: a provider's own events tell the usage."""
        self._has_begun = True
        if not isinstance(item, str | bytes):
            if self._stream is None:
                self._stream = StreamUsage()
            self._stream.add(item)

    def counted(self, thing: object) -> None:
        self._has_counted = True
        if thing is not None:
            self._counted.append(thing)

    def pass_on(self, reported: Reported) -> None:
        if self._outlet is None:
            self._meter.complain()
        else:
            self._outlet(reported)

    def hand_on(self, reported: Reported) -> None:
        status, error_type, latency_ms = reported.status, reported.error_type, reported.latency_ms
        if status == "ok":
            status, error_type = self._status, self._error_type
        if latency_ms is None:
            latency_ms = self._latency_ms
        self.pass_on(reported._replace(status=status, error_type=error_type, latency_ms=latency_ms))

    def _settle(self, error: BaseException | None, result: object, latency_ms: int) -> None:
        if isinstance(error, Exception):
            self._status, self._error_type = "error", type(error).__name__
        elif error is not None:
            self._status = "cancelled"
        if not self:
            self._report_what_is_known(error, result)
        # Of several calls, nobody measured which took how long.
        self._latency_ms = latency_ms if len(self) == 1 else None
        self.close()
        self._latency_ms = None
        if self._around is not None:
            self._around.counted(result if error is None else error)
        # An error's traceback leads back to here: that circle would keep all of its frames.
        self._counted.clear()

    def _report_what_is_known(self, error: BaseException | None, result: object) -> None:
        read = self._read(result)
        if read is not None:
            self._report(read.usage, read)
        elif error is None:
            if not self._has_counted:
                self._refuse()
        elif not self._is_counted_error(error):
            # A call that fails before its first answer is billed nothing. What was cut off has
            # used something, and nobody knows how much.
            is_unused = self._status == "error" and not self._has_begun
            self._report(NOTHING_USED if is_unused else None, _UNKNOWN)

    def _report(self, usage: object, read: Response) -> None:
        self.append(
            Reported(
                read.model or self._meter.model,
                usage,
                provider=read.provider or self._meter.provider,
                batch=read.batch,
                tier=read.tier,
                attribution=self._attribution,
            )
        )

    def _read(self, result: object) -> Response | None:
        """Return what the result says, or what was yielded; None if that is nothing new."""
        provider, model = self._meter.provider, self._meter.model
        try:
            if result is not None and not self._is_counted_result(result):
                return read_response(result, provider=provider)
            if self._stream is not None and not self._has_counted:
                return self._stream.response(provider, model)
        except UsageError:
            return None
        return None

    def _is_counted_result(self, result: object) -> bool:
        if not self._counted:
            return False
        fields = fields_of(result)
        usage, response_id = fields.get("usage"), fields.get("id")
        # An SDK makes a new object of a stream's events; its id is that of the stream.
        return any(
            each is result or each is usage or (isinstance(each, str) and each == response_id)
            for each in self._counted
        )

    def _is_counted_error(self, error: BaseException) -> bool:
        cause: BaseException | None = error
        for _ in range(_MAX_CAUSES):
            if any(each is cause for each in self._counted):
                return True
            cause = cause and (cause.__cause__ or cause.__context__)
        return False

    def _refuse(self) -> None:
        if self._outlet is None:
            self._meter.complain()
        elif self.tracker is not None:
            self.tracker.refuse(f"{self._meter.name} returned no usage and reported none")
