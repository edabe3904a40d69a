"""Alarms on how requests fare, and on whether all of them are metered."""

from __future__ import annotations

from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from spendfuse import metrics
from stacks.alarm import (
    KEEP_STATE,
    NOTHING_WRONG,
    QUARTER,
    AlarmMaker,
    Naming,
    Trigger,
    at_least,
)
from stacks.alarm_figures import AlarmFigures
from stacks.spend_alarms import dollars


class RequestAlarms(Construct):
    """One alarm a figure; each rings by itself."""

    def __init__(
        self, scope: Construct, construct_id: str, *, maker: AlarmMaker, figures: AlarmFigures
    ) -> None:
        super().__init__(scope, construct_id)
        self._maker = maker
        self._figures = figures
        self.all: list[cloudwatch.Alarm] = []
        self._expensive_request()
        self._error_rate()
        self._latency()
        self._metering_silent()
        self._unmetered_use()

    def _expensive_request(self) -> None:
        usd = self._figures.expensive_request_usd
        if usd is None:
            return
        self._add(
            Naming("expensive-request", f"One request has cost {dollars(usd)} or more."),
            at_least(
                self._maker.gauge(metrics.DEAREST_REQUEST_USD),
                usd,
                # No request is no dear one.
                without_data=NOTHING_WRONG,
                # It stands under the minute of the request, which may reach the ledger some
                # minutes later: one period alone would be over by then.
                enough=1,
                of_last=15,
            ),
        )

    def _error_rate(self) -> None:
        percent = self._figures.error_percent
        if percent is None:
            return
        self._add(
            Naming(
                "error-rate",
                f"Of the requests of the last 5 minutes {percent} % or more failed.",
            ),
            at_least(
                self._maker.gauge(metrics.ERROR_PERCENT),
                percent,
                # Below 20 requests there is no figure: too few to say that all is well again.
                without_data=KEEP_STATE,
                # Each figure is of five minutes already; a second one rules out a burst.
                enough=2,
                of_last=3,
            ),
        )

    def _latency(self) -> None:
        milliseconds = self._figures.latency_p95_ms
        if milliseconds is None:
            return
        p95 = self._maker.gauge(
            metrics.LATENCY_MS, statistic=cloudwatch.Stats.percentile(95), period=QUARTER
        )
        naming = Naming(
            "latency-p95",
            f"One request in twenty takes {milliseconds:,} ms or longer (the last 15 minutes).",
        )
        trigger = at_least(p95, milliseconds, without_data=KEEP_STATE)
        # With less than 200 requests, ten of them above a p95, CloudWatch takes the figure for
        # chance. A quarter of an hour has them at one request every 4.5 seconds.
        self.all.append(self._maker.make(self, naming, trigger, few_samples="ignore"))

    def _metering_silent(self) -> None:
        minutes = self._figures.silent_minutes
        if minutes is None:
            return
        self._add(
            Naming(
                "metering-silent",
                f"No usage has reached the ledger for {minutes:,} minutes or longer.",
                "Before that there was some: either nothing is used, or what is used is not seen.",
            ),
            # Before the first usage there is no figure, and so no alarm.
            at_least(
                self._maker.gauge(metrics.MINUTES_SINCE_USAGE), minutes, without_data=KEEP_STATE
            ),
        )

    def _unmetered_use(self) -> None:
        tokens = self._figures.unmetered_tokens_an_hour
        if tokens is None:
            return
        self._add(
            Naming(
                "unmetered-use",
                f"Within an hour Bedrock counted {tokens:,} tokens or more that nobody metered.",
                "Somebody calls a model past the guard; no budget counts it.",
            ),
            # Published every 15 minutes; where two fall into one period, the other one is empty.
            at_least(
                self._maker.gauge(metrics.UNMETERED_TOKENS, period=QUARTER),
                tokens,
                without_data=KEEP_STATE,
            ),
        )

    def _add(self, naming: Naming, trigger: Trigger) -> None:
        self.all.append(self._maker.make(self, naming, trigger))
