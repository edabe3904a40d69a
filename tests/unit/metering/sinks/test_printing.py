from __future__ import annotations

import io
import json
import logging

import pytest
from unit.metering.sinks.rigs import a_record

from spendfuse.metering.sinks import Wiring, open_sinks
from spendfuse.metering.sinks.logs import logging_sink
from spendfuse.metering.sinks.printing import line_for_people, print_sink
from spendfuse.metering.sinks.sink import Sink


def test_a_call_is_one_calm_line() -> None:
    assert (
        line_for_people(a_record())
        == "12:00:03  openai/gpt-4o  1200 in, 300 out  $0.006  420 ms  ok"
    )


@pytest.mark.parametrize(
    ("over", "end"),
    [
        ({"cost_nano_usd": None}, "300 out  no price  420 ms  ok"),
        ({"cost_nano_usd": 0, "cached": True}, "300 out  $0.00  420 ms  ok  cached"),
        ({"cost_nano_usd": 400}, "300 out  $0.0000004  420 ms  ok"),
        ({"cost_nano_usd": 12_500_000_000}, "300 out  $12.50  420 ms  ok"),
        ({"latency_ms": None}, "$0.006  - ms  ok"),
        ({"status": "error", "error_type": "RateLimitError"}, "420 ms  error RateLimitError"),
        ({"status": "cancelled"}, "420 ms  cancelled"),
    ],
)
def test_a_line_says_what_is_known(over: dict[str, object], end: str) -> None:
    assert line_for_people(a_record(**over)).endswith(end)


def test_a_model_s_name_plays_no_tricks_on_a_terminal() -> None:
    line = line_for_people(a_record(model="\x1b[2Jgpt\n12:00:04  openai/ü"))

    assert line.isascii()
    assert line.isprintable()


def test_a_terminal_that_knows_no_unicode_gets_its_line() -> None:
    raw = io.BytesIO()
    sink = print_sink(io.TextIOWrapper(raw, encoding="ascii"))
    sink.emit(a_record(model="größer"))

    assert sink.health().delivered == 1
    assert b"gr\\xf6\\xdfer" in raw.getvalue()


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_lines_go_to_the_stream_that_was_chosen(
    stream: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (sink,) = open_sinks([{"kind": "print", "stream": stream}])
    sink.emit(a_record())

    printed = capsys.readouterr()
    assert "gpt-4o" in getattr(printed, {"stdout": "out", "stderr": "err"}[stream])
    assert not getattr(printed, {"stdout": "err", "stderr": "out"}[stream])


@pytest.fixture
def target() -> logging.Logger:
    logger = logging.Logger("app.usage")  # noqa: LOG001 (each test has one of its own)
    logger.setLevel(logging.INFO)
    return logger


def a_sink(target: logging.Logger, **over: object) -> Sink:
    return logging_sink(target, **{"level": logging.INFO, "is_json": True, **over})  # type: ignore[arg-type]


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.kept: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append(record)


def test_a_log_message_is_the_record_s_json(target: logging.Logger) -> None:
    target.addHandler(kept := Kept())
    a_sink(target).emit(a_record(model="100 % %s"))

    message = json.loads(kept.kept[0].getMessage())
    assert message == a_record(model="100 % %s").to_line()


def test_an_extra_field_never_meets_a_name_of_logging_s_own(target: logging.Logger) -> None:
    target.addHandler(kept := Kept())
    names = dict.fromkeys(("message", "name", "args", "levelname", "msg", "exc_info"), "mine")
    sink = a_sink(target, is_json=False)
    sink.emit(a_record("r-1", attributes=names))

    (log_record,) = kept.kept
    assert log_record.getMessage() == "llm call r-1"
    assert log_record.llm_call["attributes"] == names  # type: ignore[attr-defined]
    assert sink.health().delivered == 1


def test_a_logger_that_is_turned_off_is_told_of(target: logging.Logger) -> None:
    target.setLevel(logging.ERROR)
    sink = a_sink(target)
    sink.emit(a_record())

    health = sink.health()
    assert (health.delivered, health.dropped, health.waiting) == (0, 1, 0)
    assert health.last_error is not None
    assert "'app.usage' does not log INFO" in health.last_error


def test_a_configuration_that_disables_existing_loggers_breaks_nothing() -> None:
    (sink,) = open_sinks([{"kind": "logging", "logger": "app.disabled"}], Wiring())
    logging.getLogger("app.disabled").setLevel(logging.INFO)
    # What dictConfig does to each logger that is there; it would do so to all of this process.
    logging.getLogger("app.disabled").disabled = True
    sink.emit(a_record())

    assert sink.health().dropped == 1


def test_a_filter_that_raises_breaks_nothing(target: logging.Logger) -> None:
    def fail(_: logging.LogRecord) -> bool:
        raise KeyError("request_id")

    target.addHandler(kept := Kept())
    target.addFilter(fail)
    sink = a_sink(target)
    sink.emit(a_record("r-1"))
    broken = sink.health()
    target.removeFilter(fail)

    assert (broken.waiting, broken.last_error) == (1, "KeyError")
    assert sink.flush(1)
    assert len(kept.kept) == 1


def test_a_handler_that_calls_an_llm_itself_holds_nobody_up(target: logging.Logger) -> None:
    class Summary(Kept):
        def emit(self, record: logging.LogRecord) -> None:
            super().emit(record)
            if len(self.kept) == 1:
                sink.emit(a_record("summary"))

    target.addHandler(summary := Summary())
    sink = a_sink(target)
    sink.emit(a_record("r-1"))

    assert len(summary.kept) == 2
    assert sink.health().delivered == 2
