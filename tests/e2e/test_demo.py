"""The main job, end to end: an app overspends, people hear of it, its key stops and works again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spendfuse.sandbox.demo.rag_app import RagApp
from spendfuse.sandbox.demo.report import Report
from spendfuse.sandbox.demo.stage import Deployed
from spendfuse.sandbox.demo.story import STEPS, Story

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture(scope="session")
def played(stage: Deployed, report: Report) -> Report:
    Story(stage, RagApp(stage), report).play()
    return report


def test_the_story_goes_from_the_first_alert_to_the_key_that_works_again(
    played: Report, tmp_path: Path
) -> None:
    with played.kept(tmp_path / "report.json", STEPS):
        pass
    written = json.loads((tmp_path / "report.json").read_text())

    assert written["passed"]
    assert [step["name"] for step in written["steps"]] == list(STEPS)


def test_each_alert_reached_each_channel_once(played: Report, stage: Deployed) -> None:
    slack = [json.dumps(each.body) for each in stage.sandbox.inbox.messages("slack")]
    mails = [json.dumps(each.body) for each in stage.sandbox.inbox.messages("email")]
    subjects = [each.body["subject"] for each in stage.sandbox.inbox.messages("email")]

    assert len(slack) == len(set(slack))
    assert len(mails) == len(set(mails))
    assert sum("50 % of $50.00" in subject for subject in subjects) == 1
    assert not any("80 % of $50.00" in subject for subject in subjects)


def test_the_lambdas_leave_no_dead_letters(played: Report, stage: Deployed) -> None:
    queues = [name for name in stage.outputs if name.endswith("DeadLetterQueueUrl")]
    waiting = {
        name: stage.sandbox.client("sqs").get_queue_attributes(
            QueueUrl=stage.outputs[name], AttributeNames=["ApproximateNumberOfMessages"]
        )["Attributes"]["ApproximateNumberOfMessages"]
        for name in queues
    }

    assert len(queues) == 3
    assert set(waiting.values()) == {"0"}


def test_every_alert_of_the_story_is_in_one_incident(played: Report, stage: Deployed) -> None:
    items = stage.sandbox.client("dynamodb").scan(TableName=stage.outputs["IncidentTableName"])
    # What nobody is told stands there too: that a new alarm has nothing to say.
    told = [item for item in items["Items"] if any(name.startswith("sent_") for name in item)]
    incidents = {item["pk"]["S"] for item in told}
    sources = {item["source"]["S"] for item in told}

    assert len(incidents) == 1
    assert sources == {"ledger", "aws-budgets", "fuse"}
