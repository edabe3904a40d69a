"""One call to a provider, metered: it reports itself exactly once, however it ends.

What a provider says was used holds. Where it says nothing, it is estimated and marked so: a stream
that was broken off has used its input, and what came until then. Nothing here raises.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Literal

from spendfuse.metering.attribution import Attribution, Scalar, current_attribution, extended
from spendfuse.metering.integrations.estimated import estimated_tokens, request_bytes
from spendfuse.metering.integrations.meter import Meter, billed_model
from spendfuse.metering.listening import Listener, tell
from spendfuse.metering.record import Status
from spendfuse.metering.reporting import Reported, outlet
from spendfuse.metering.responses import Response, read_response
from spendfuse.metering.responses.fields import fields_of
from spendfuse.metering.usage import NOTHING_USED, Usage, UsageError

Estimate = Literal["text", "input", "characters", "none"]
"""What can be known of a call without usage: its text in and out; its text in; the characters
that it has read out, exactly; nothing."""


class MeteredCall:
    """Begins when it is made, in the context whose attribution holds.

    Args:
        tracker: Where it is reported.
        provider: The price book's; may be empty.
        model: As it was asked for.
        values: Attributes and fields, over those in force.
        body: The request, for estimates.
        estimate: How to estimate.
    """

    __slots__ = (
        "_attribution",
        "_began",
        "_body",
        "_estimate",
        "_hand_on",
        "_once",
        "_tracker",
        "_waited_by",
        "model",
        "provider",
    )

    def __init__(
        self,
        tracker: Meter,
        *,
        provider: str,
        model: str,
        values: Mapping[str, Scalar],
        body: Mapping[str, object],
        estimate: Estimate = "text",
    ) -> None:
        self._tracker = tracker
        # The request around knows its user and its endpoint.
        self._hand_on = outlet(tracker) or tracker.track_quietly
        self.provider = provider
        self.model = model
        attribution = current_attribution()
        self._attribution = extended(attribution, values) if values else attribution
        self._body = body
        self._estimate: Estimate = estimate
        # Two threads may end one stream: popping decides which of them reports.
        self._once = [True]
        self._waited_by: list[tuple[Listener, ...]] = []
        self._began = time.monotonic()

    @property
    def is_reported(self) -> bool:
        return not self._once

    def outlasts(self) -> None:
        """Have reservations wait for it: a stream may end after the code that opened it."""
        listeners = self._attribution.listeners
        for each in listeners:
            each.expect()
        self._waited_by.append(listeners)

    def concluded(self) -> None:
        """Let go of whoever waits: it is reported, or never will be."""
        try:
            listeners = self._waited_by.pop()
        except IndexError:
            return
        tell(listeners, None)

    def answered(
        self,
        response: object,
        *,
        status: Status = "ok",
        error: BaseException | None = None,
    ) -> None:
        """Report a whole response; ``error`` is what became of it afterwards."""
        given = fields_of(response).get("usage")
        try:
            read = read_response(response, provider=self.provider)
        except UsageError:
            if given is None:
                self.unsaid(status=status, error=error, output=response)
            else:
                # The tracker says what is wrong with it, and records the call without a price.
                self._report(given, status=status, error=error)
            return
        self.used(read, status=status, error=error)

    def failed(self, error: BaseException, *, was_sent: bool = False) -> None:
        """Report an error that came instead of an answer.

        Args:
            error: Its class is recorded.
            was_sent: Whether the provider may be working on it, and will bill it.
        """
        if was_sent or not isinstance(error, Exception):
            self.unsaid(status=status_of(error), error=error)
        else:
            self._report(NOTHING_USED, status=status_of(error), error=error)

    def used(
        self,
        read: Response,
        *,
        status: Status = "ok",
        error: BaseException | None = None,
        estimated: bool = False,
    ) -> None:
        """Report what was read from a response, or from the events of a stream."""
        self._report(
            read.usage,
            provider=read.provider,
            model=read.model,
            tier=read.tier,
            batch=read.batch,
            status=status,
            error=error,
            estimated=estimated,
        )

    def unreadable(
        self, problem: Exception, *, status: Status = "ok", error: BaseException | None = None
    ) -> None:
        """Report a call whose usage can't be read: it is recorded without a price."""
        self.refuse(problem)
        self._report(None, status=status, error=error)

    def refuse(self, problem: Exception) -> None:
        is_ours = isinstance(problem, UsageError)
        # Others' errors may hold anything of the app's.
        self._tracker.refuse(
            str(problem) if is_ours else f"usage that can't be read: {type(problem).__name__}"
        )

    def unsaid(
        self,
        *,
        model: str = "",
        status: Status = "ok",
        error: BaseException | None = None,
        output: object = None,
        output_bytes: int = 0,
    ) -> None:
        """Report a call of which the provider did not say what it used."""
        body, estimate = self._body, self._estimate
        usage: Usage | None = None
        if estimate == "text":
            output_bytes += request_bytes(output) if output is not None else 0
            usage = _text_usage(request_bytes(body), output_bytes)
        elif estimate == "input":
            usage = _text_usage(request_bytes(body), 0)
        elif estimate == "characters":
            usage = Usage(characters=len(str(body.get("input") or "")))
        estimated = usage is not None and estimate != "characters"
        self._report(usage, model=model, status=status, error=error, estimated=estimated)

    def _report(
        self,
        usage: object,
        *,
        provider: str = "",
        model: str = "",
        tier: str | None = None,
        batch: bool = False,
        status: Status = "ok",
        error: BaseException | None = None,
        estimated: bool = False,
    ) -> None:
        try:
            self._once.pop()
        except IndexError:
            return
        provider = self.provider or provider
        self._hand_on(
            Reported(
                billed_model(provider, self.model, model),
                usage,
                provider,
                batch,
                tier,
                cached=False,
                latency_ms=int((time.monotonic() - self._began) * 1000),
                status=status,
                error_type=None if error is None else type(error).__name__,
                attribution=_marked(self._attribution) if estimated else self._attribution,
            )
        )


def status_of(error: BaseException) -> Status:
    """Cancellation, an interrupt and a closed generator are no ``Exception``; errors are."""
    return "error" if isinstance(error, Exception) else "cancelled"


def _text_usage(input_bytes: int, output_bytes: int) -> Usage:
    return Usage(
        input_tokens=estimated_tokens(input_bytes), output_tokens=estimated_tokens(output_bytes)
    )


def _marked(attribution: Attribution) -> Attribution:
    return extended(attribution, {"estimated": True})
