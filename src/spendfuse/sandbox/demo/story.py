"""The story: traffic, a user who pastes whole books, alerts, the fuse, a restore.

Each step waits for what a person would see (a Slack message, an e-mail, a 403) and fails
when it does not come.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from spendfuse.clock import parse_utc
from spendfuse.money import display_usd, nano_usd, usd
from spendfuse.period import Period
from spendfuse.sandbox.demo.block import DEMO_BLOCK
from spendfuse.sandbox.demo.ledger import Counted, wait_until_counted
from spendfuse.sandbox.demo.rag_app import FORBIDDEN, OK, Paster, RagApp
from spendfuse.sandbox.demo.report import DemoError, Report
from spendfuse.sandbox.demo.stage import SETTING_UP, Deployed
from spendfuse.sandbox.messages import Message

LIMIT_USD = str(DEMO_BLOCK["budgets"][0]["limit_usd"])
BUDGET = str(DEMO_BLOCK["budgets"][0]["name"])
STEPS = (
    *SETTING_UP,
    "deploy app",
    "traffic",
    "50 % email",
    "50 % slack",
    "80 % slack",
    "aws budgets joins",
    "100 % slack",
    "fuse slack",
    "key refused",
    "untagged key works",
    "status",
    "restore",
    "key works again",
    "tripped again",
    "ledger exact",
)

_USERS = 20
_DOCUMENTS = 500
_DOCUMENT = "spend " * 32_000  # 48,000 tokens, some 150 pages: $0.125 with its answer
_PAUSE_SECONDS = 0.08
_HEARD_SECONDS = 60.0
_REFUSED_SECONDS = 120.0
_LEDGER_SECONDS = 30.0


@dataclass
class Story:
    """Plays the story on what is deployed, and reports each step."""

    deployed: Deployed
    app: RagApp
    report: Report
    limit_nano_usd: int = nano_usd(Decimal(LIMIT_USD))

    def play(self) -> None:
        self.traffic()
        paster = Paster(self.app, _DOCUMENT, most=_DOCUMENTS, pause_seconds=_PAUSE_SECONDS)
        self.report.say("          user-7 pastes documents of 150 pages, one after the other")
        paster.start()
        self.heard_of(50, "email")
        self.heard_of(50, "slack")
        self.heard_of(80, "slack")
        self.aws_budgets_joins()
        self.heard_of(100, "slack")
        self.fuse_reported()
        self.key_refused(paster)
        self.untagged_key_works()
        self.status()
        self.restore()
        self.trips_again()
        self.ledger_is_exact()

    def traffic(self) -> None:
        for turn in range(_USERS):
            self.ask_ok(f"user-{turn}", "Where is the invoice of last May?" * 20)
        spent = display_usd(self.app.spent_nano_usd)
        self.report.done("traffic", f"{_USERS} users ask the app, {spent} in all; nobody is told")

    def ask_ok(self, user: str, question: str, *, key: str = "Web") -> None:
        answer = self.app.ask(user, question, key=key)
        if answer.status != OK:
            raise DemoError(f"the {key} key was answered {answer.status}, expected {OK}")

    def heard_of(self, percent: int, channel: str) -> None:
        """Wait until people have heard of a rung; measure from the usage to the message."""
        phrase = f"{percent} % of {display_usd(self.limit_nano_usd)}"
        message = self.wait_for(channel, lambda text: phrase in text)
        if channel == "slack":
            self.measure("usage_to_slack_seconds", percent, message)
        self.report.done(f"{percent} % {channel}", f"{channel}: {headline(message)}")

    def measure(self, figure: str, percent: int, message: Message) -> None:
        crossed = self.app.crossed_at(self.limit_nano_usd * percent // 100)
        self.report.measured(figure, seconds_since(crossed, message.received_at, self.report))

    def wait_for(self, channel: str, matches: Callable[[str], bool]) -> Message:
        return self.deployed.sandbox.inbox.wait_for(
            lambda message: message.channel == channel and matches(text_of(message)),
            timeout_seconds=_HEARD_SECONDS,
        )

    def aws_budgets_joins(self) -> None:
        """AWS Budgets comes hours late, with the same news: it joins the incident."""
        (name,) = [
            each["BudgetName"]
            for each in self.deployed.sandbox.client("budgets").describe_budgets(
                AccountId=self.deployed.sandbox.running.account
            )["Budgets"]
        ]
        spent = usd(self.limit_nano_usd * 81 // 100)
        played = self.deployed.sandbox.player.spend(name, actual_usd=spent, at=datetime.now(UTC))
        if played["dropped"] or not played["fired"]:
            raise DemoError(f"AWS Budgets could not publish: {played}")
        message = self.wait_for("slack", lambda text: f"AWS Budgets, {BUDGET}: over 80 %" in text)
        if "Earlier in this incident" not in text_of(message):
            raise DemoError(f"the AWS Budgets message stands alone: {text_of(message)}")
        self.report.done("aws budgets joins", f"slack: {headline(message)} (same incident)")

    def fuse_reported(self) -> None:
        message = self.wait_for("slack", lambda text: "Fuse tripped" in text)
        self.report.done("fuse slack", f"slack: {headline(message)}")

    def key_refused(self, paster: Paster) -> None:
        paster.finish(_REFUSED_SECONDS)
        if paster.refused_at is None:
            raise DemoError(f"all {_DOCUMENTS} documents went through; the fuse did not trip")
        self.refused_after(self.limit_nano_usd, paster.refused_at)
        over = display_usd(self.app.spent_nano_usd - self.limit_nano_usd)
        self.report.done(
            "key refused",
            f"document {paster.pasted + 1} is answered 403; {over} went over the limit before",
        )

    def refused_after(self, reached_nano_usd: int, refused_at: float) -> None:
        crossed = self.app.crossed_at(reached_nano_usd)
        self.report.measured("usage_to_refused_seconds", refused_at - crossed)

    def untagged_key_works(self) -> None:
        self.ask_ok("on-call", "Does my key still work?", key="OnCall")
        self.report.done("untagged key works", "the on-call key has no fuse tag; it still works")

    def status(self) -> None:
        state = json.loads(self.cli("fuse", "status", "--json", expect=3))
        if state["state"] != "tripped":
            raise DemoError(f"`spendfuse fuse status` says {state['state']}, expected tripped")
        self.report.done("status", "spendfuse fuse status: tripped")

    def restore(self) -> None:
        plan = self.cli("fuse", "restore")
        if self.app.ask("user-1", "Is it back?").status != FORBIDDEN:
            raise DemoError("`fuse restore` without --yes must change nothing")
        self.say_output("spendfuse fuse restore", plan)
        self.say_output("spendfuse fuse restore --yes", self.cli("fuse", "restore", "--yes"))
        self.report.done("restore", "the fuse is restored, with an allowance")
        self.ask_ok("user-1", "And now?")
        self.report.done("key works again", "the same key is answered 200")

    def trips_again(self) -> None:
        allowance = json.loads(self.cli("fuse", "status", "--json"))["allowances"][0]
        paster = Paster(self.app, _DOCUMENT, most=_DOCUMENTS, pause_seconds=_PAUSE_SECONDS)
        paster.start()
        paster.finish(_REFUSED_SECONDS)
        if paster.refused_at is None:
            raise DemoError("the allowance was spent, but the fuse did not trip again")
        self.refused_after(allowance["until_nano_usd"], paster.refused_at)
        self.report.done(
            "tripped again", f"{paster.pasted} documents later the allowance is spent: 403 again"
        )

    def ledger_is_exact(self) -> None:
        month = Period.containing("month", datetime.now(UTC))
        answered = [answer for answer in self.app.answers if answer.status == OK]
        counted = wait_until_counted(
            self.deployed,
            BUDGET,
            month.key,
            month.previous.key,
            requests=len(answered),
            timeout_seconds=_LEDGER_SECONDS,
        )
        spent = self.app.spent_nano_usd
        if counted != Counted(spent, len(answered)):
            raise DemoError(f"the ledger has {counted}, the app spent {spent} nano-dollars")
        self.report.done(
            "ledger exact",
            f"the ledger has {counted.requests} requests and {usd(counted.nano_usd)} USD: "
            "what the app spent, to the nano-dollar",
        )

    def cli(self, *arguments: str, expect: int = 0) -> str:
        """Run the real command against the sandbox, as a user would against AWS."""
        ran = subprocess.run(
            [sys.executable, "-m", "spendfuse", *arguments],
            env=self._environment(),
            # Nothing but the environment says which deployment this is.
            cwd=self.deployed.sandbox.folder.path / "project",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if ran.returncode != expect:
            raise DemoError(
                f"`spendfuse {' '.join(arguments)}` exited {ran.returncode}, expected {expect}: "
                f"{ran.stderr or ran.stdout}"
            )
        return ran.stdout

    def _environment(self) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return {**ours, **self.deployed.sandbox.environment()}

    def say_output(self, command: str, output: str) -> None:
        self.report.say(f"          $ {command}")
        for line in output.splitlines():
            self.report.say(f"          {line}")


def text_of(message: Message) -> str:
    """Return all of a message's words."""
    return json.dumps(message.body, ensure_ascii=False)


def headline(message: Message) -> str:
    """Return the line a person sees first."""
    body = message.body
    return str(body.get("subject") or body.get("text")).splitlines()[0]


def seconds_since(started: float, received_at: str, report: Report) -> float:
    """Return the seconds from a moment of the report's clock to a wall-clock time."""
    ago = (datetime.now(UTC) - parse_utc(received_at)).total_seconds()
    return report.clock() - ago - started
