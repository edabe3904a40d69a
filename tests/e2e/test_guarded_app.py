"""The example app on a real server, under load: its budgets hold, and no dollar is lost.

Needs no sandbox: the app keeps its counters in its own process.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from spendfuse.guard.fastapi import EXAMPLE

PROJECT = Path(__file__).parents[2]
USERS = [f"u-{number}" for number in range(50)]
LEAVERS = [f"leaver-{number}" for number in range(20)]
LATECOMERS = [f"late-{number}" for number in range(50)]
AT_ONCE = 2
"""Requests of one user that run at the same time."""
LOAD_SECONDS = 12
MAX_TOKENS = 100_000
"""Of those who leave."""
HELD_USD = Decimal("1.000005")
WHOLE_ANSWER_USD = Decimal("0.800005")
"""What their questions cost if nobody left: eight of ten chunks."""
WAIT_SECONDS = 30

Budgets = dict[str, dict[str, Any]]


class Outcome(NamedTuple):
    answers: list[httpx.Response]
    refused_of_model: list[httpx.Response]
    figures: dict[str, Budgets]
    """By user, when all was over."""
    metrics: str
    records: list[dict[str, Any]]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    folder = tmp_path_factory.mktemp("records")
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = started(listener, folder)
        try:
            told = asyncio.run(load(url))
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(WAIT_SECONDS)
    lines = [line for file in folder.glob("*.jsonl") for line in file.read_text().splitlines()]
    return Outcome(*told, [json.loads(line) for line in lines])


def started(listener: socket.socket, folder: Path) -> subprocess.Popen[bytes]:
    app = f"examples/guarded_app/app.py:create_app(records={str(folder)!r})"
    bind = f"fd://{listener.fileno()}"
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "hypercorn", "--workers", "0", "--bind", bind),
            # Longer than a client waits for its turn on a busy machine: a connection that is
            # closed just as it is used again is no refusal.
            *("--keep-alive", "75", app),
        ],
        cwd=PROJECT,
        pass_fds=[listener.fileno()],
    )


async def load(url: str) -> tuple[Any, ...]:
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=200)
    async with httpx.AsyncClient(base_url=url, timeout=WAIT_SECONDS, limits=limits) as client:
        until = time.monotonic() + LOAD_SECONDS
        of_users = (spend(client, user, until) for user in USERS for _ in range(AT_ONCE))
        answers = [each for some in await asyncio.gather(*of_users) for each in some]
        await asyncio.gather(*(leave(client, user) for user in LEAVERS))
        await all_let_go(client)
        late = await asyncio.gather(*(ask(client, user, max_tokens=900_000) for user in LATECOMERS))
        figures = {user: await figures_of(client, user) for user in (*USERS, *LEAVERS)}
        metrics = (await client.get("/metrics")).text
    refused = [each for each in late if each.status_code == 429]
    return answers, refused, figures, metrics


async def ask(client: httpx.AsyncClient, user: str, *, max_tokens: int) -> httpx.Response:
    question = {"prompt": "Why?", "max_tokens": max_tokens}
    path = random.choice(["/chat", "/chat/stream"])
    return await client.post(path, json=question, headers={"x-user": user})


async def spend(client: httpx.AsyncClient, user: str, until: float) -> list[httpx.Response]:
    """Ask until it is refused."""
    answers = []
    while time.monotonic() < until:
        answers.append(await ask(client, user, max_tokens=random.randint(200_000, 500_000)))
        if answers[-1].status_code != 200:
            break
    return answers


async def leave(client: httpx.AsyncClient, user: str) -> None:
    """Ask for a stream, and leave in the middle of it."""
    question = {"prompt": "Why?", "max_tokens": MAX_TOKENS}
    async with client.stream(
        "POST", "/chat/stream", json=question, headers={"x-user": user}
    ) as response:
        async for _ in response.aiter_raw():
            break


async def figures_of(client: httpx.AsyncClient, user: str) -> Budgets:
    response = await client.get("/budgets", headers={"x-user": user})
    return {each["budget"]: each for each in response.json()}


async def all_let_go(client: httpx.AsyncClient) -> None:
    for _ in range(100):
        if (await figures_of(client, "nobody"))["organisation"]["held_usd"] == "0":
            return
        await asyncio.sleep(0.05)


@pytest.fixture
def spent_by_user(outcome: Outcome) -> dict[str, Decimal]:
    """What the records say, by user."""
    spent: dict[str, Decimal] = defaultdict(Decimal)
    for record in outcome.records:
        spent[record["attributes"]["user"]] += Decimal(record["cost_usd"])
    return spent


def of_leavers(outcome: Outcome, spent: dict[str, Decimal]) -> list[tuple[Decimal, Decimal]]:
    """Return what each of those who left was streamed, and what the guard has charged."""
    return [
        (spent[user], Decimal(outcome.figures[user]["each-user"]["spent_usd"])) for user in LEAVERS
    ]


def test_no_user_passes_ten_dollars_and_everyone_comes_close(outcome, spent_by_user):
    spent = [spent_by_user[user] for user in USERS]

    assert max(spent) <= 10
    # It was refused with more than $5 spent or held, and of what is held 80 % is spent.
    assert min(spent) > 4


def test_the_records_are_what_the_guard_says_to_the_nano_dollar(outcome, spent_by_user):
    for user in USERS:
        figures = outcome.figures[user]["each-user"]
        assert Decimal(figures["spent_usd"]) == spent_by_user[user]

    organisation = outcome.figures[USERS[0]]["organisation"]
    beyond = sum(cost - each for each, cost in of_leavers(outcome, spent_by_user))
    assert Decimal(organisation["spent_usd"]) == sum(spent_by_user.values()) + beyond


def test_a_budget_of_a_model_holds_over_all_users(outcome):
    model = outcome.figures[USERS[0]]["gpt-4o"]

    assert Decimal(model["spent_usd"]) <= 600
    assert outcome.refused_of_model
    assert {each.json()["budget"] for each in outcome.refused_of_model} == {"gpt-4o"}


def test_who_is_refused_gets_the_documented_answer(outcome):
    refused = [each for each in outcome.answers if each.status_code != 200]

    assert len(refused) >= len(USERS)
    for each in refused:
        body = each.json()
        assert (each.status_code, each.headers["content-type"]) == (429, "application/json")
        assert body.keys() == EXAMPLE.keys()
        assert body["for"] == each.request.headers["x-user"]
        assert int(each.headers["retry-after"]) > 0


def test_clients_who_leave_leak_no_hold_and_pay_what_was_streamed(outcome, spent_by_user):
    pairs = of_leavers(outcome, spent_by_user)
    streamed = [each for each, _ in pairs]

    assert all(outcome.figures[user]["each-user"]["held_usd"] == "0" for user in LEAVERS)
    assert 0 < min(streamed) < WHOLE_ANSWER_USD
    assert max(streamed) <= WHOLE_ANSWER_USD
    # A stream that is cut off while it sends reports later than its request ends: then it pays
    # what was held.
    assert all(cost in {each, HELD_USD} for each, cost in pairs)
    assert sum(cost == each for each, cost in pairs) > len(LEAVERS) // 2


def test_nothing_is_held_when_all_is_over(outcome):
    held = [each["held_usd"] for of_user in outcome.figures.values() for each in of_user.values()]

    assert set(held) == {"0"}


def test_the_metrics_say_the_same(outcome):
    samples = {
        (sample.name, sample.labels.get("budget")): sample.value
        for family in text_string_to_metric_families(outcome.metrics)
        for sample in family.samples
    }
    organisation = outcome.figures[USERS[0]]["organisation"]

    spent = samples["llm_budget_spent_dollars", "organisation"]
    assert spent == pytest.approx(float(organisation["spent_usd"]))
    refused = sum(1 for each in outcome.answers if each.status_code == 429)
    assert samples["llm_budget_refused_total", "each-user"] == refused
