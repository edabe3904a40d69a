"""A server with workers in Prometheus' multiprocess mode: ``prometheus_workers.py CASE``.

Prints what the scrape of the last process shows. PROMETHEUS_MULTIPROC_DIR is set from outside, as
servers do: the library decides by it when it is imported.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from datetime import datetime, timedelta

import prometheus_client
from prometheus_client.multiprocess import MultiProcessCollector
from unit.metering.sinks.rigs import NOW, a_record

from spendfuse.metering.sinks import Wiring, open_sinks
from spendfuse.metering.sinks.sink import Sink


class Clock:
    at = NOW

    def __call__(self) -> datetime:
        return self.at


def a_sink(clock: Clock) -> Sink:
    (sink,) = open_sinks(
        [{"kind": "prometheus"}],
        Wiring(registry=prometheus_client.CollectorRegistry(), now=clock),
    )
    return sink


def scrape() -> None:
    registry = prometheus_client.CollectorRegistry()
    MultiProcessCollector(registry)
    print(prometheus_client.generate_latest(registry).decode())  # noqa: T201


def child(work: Callable[[], None]) -> None:
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


def workers() -> None:
    """Three workers are forked after the master has counted a call of its own."""
    sink = a_sink(Clock())
    sink.emit(a_record("master"))

    def work() -> None:
        for number in range(100):
            sink.emit(a_record(f"r-{number}"))

    for _ in range(3):
        child(work)
    scrape()


def unpriced() -> None:
    a_sink(Clock()).emit(a_record(cost_nano_usd=None))
    scrape()


def an_hour_later() -> None:
    """The rate of a model that is not called any more falls with any other's call."""
    clock = Clock()
    sink = a_sink(clock)
    sink.emit(a_record(model="early"))
    clock.at += timedelta(hours=1)
    sink.emit(a_record(model="late"))
    scrape()


def folder_gone() -> None:
    sink = a_sink(Clock())
    sink.emit(a_record("r-0"))
    folder = os.environ["PROMETHEUS_MULTIPROC_DIR"]

    def work() -> None:
        shutil.move(folder, f"{folder}.aside")
        for number in range(5):
            sink.emit(a_record(f"r-{number}"))
        health = sink.health()
        print(health.accepted, health.delivered + health.waiting + health.dropped)  # noqa: T201
        print(health.failures > 0, health.last_error, flush=True)  # noqa: T201

    child(work)


CASES = {case.__name__: case for case in (workers, unpriced, an_hour_later, folder_gone)}

if __name__ == "__main__":
    CASES[sys.argv[1]]()
