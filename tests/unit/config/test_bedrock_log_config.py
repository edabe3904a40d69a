"""The key bedrock_log: off by default, on with {}, and every mistake in it at once."""

from __future__ import annotations

from typing import Any

import pytest

from spendfuse.bedrock_rules import BedrockRules
from spendfuse.config import BedrockLogConfig, load
from spendfuse.errors import SettingsError

BLOCK: dict[str, Any] = {
    "name": "acme",
    "tags": {"Project": "a", "Environment": "dev", "Team": "t", "CostCenter": "1", "Owner": "o"},
    "alerts": {"emails": ["a@b.co"], "slack": {"webhook_secret": "acme/slack"}},
    "budgets": [{"name": "llm", "limit_usd": 1000}],
}


def loaded(block: Any, **over: Any) -> BedrockLogConfig | None:
    return load({"spendfuse": {**BLOCK, "bedrock_log": block}, **over}).bedrock_log


def report_of(block: Any) -> str:
    with pytest.raises(SettingsError) as raised:
        loaded(block)
    return str(raised.value)


def test_bedrock_s_log_is_not_metered_unless_it_is_said() -> None:
    assert load({"spendfuse": BLOCK}).bedrock_log is None


def test_an_empty_object_takes_all_defaults() -> None:
    assert loaded({}) == BedrockLogConfig("/spendfuse/bedrock", create=True, rules=BedrockRules())


def test_every_key_gets_through() -> None:
    config = loaded(
        {
            "log_group": "/aws/bedrock/modelinvocations",
            "create": False,
            "identity": {
                "metadata": {"cost-team": "team"},
                "roles": {"z*": {"team": "z"}, "a*": {"team": "a"}},
                "profiles": {"p": {"project": "p"}},
                "principal_as": "user",
            },
            "models": {"p": "amazon.nova-lite-v1:0"},
            "skip_roles": ["s"],
            "prices": "prices.yaml",
        }
    )

    assert config is not None
    assert (config.log_group, config.create) == ("/aws/bedrock/modelinvocations", False)
    assert config.rules == BedrockRules(
        metadata={"cost-team": "team"},
        roles={"z*": {"team": "z"}, "a*": {"team": "a"}},
        profiles={"p": {"project": "p"}},
        principal_as="user",
        models={"p": "amazon.nova-lite-v1:0"},
        skip_roles=("s",),
    )
    assert list(config.rules.roles) == ["z*", "a*"]
    assert config.prices == "prices.yaml"


def test_a_stage_can_switch_it_on_and_off() -> None:
    stages = {"dev": {"bedrock_log": None}, "prod": {"bedrock_log": {"log_group": "/prod"}}}
    context = {"spendfuse": {**BLOCK, "bedrock_log": {}, "stages": stages}}

    assert load(context | {"stage": "dev"}).bedrock_log is None
    production = load(context | {"stage": "prod"}).bedrock_log
    assert production is not None
    assert production.log_group == "/prod"


@pytest.mark.parametrize(
    ("block", "sentence"),
    [
        (True, "bedrock_log: got true; write an object"),
        ({"log_grup": "x"}, 'log_grup: unknown key; did you mean "log_group"?'),
        ({"log_group": ""}, 'log_group: got ""; write a log group\'s name'),
        ({"log_group": "aws/bedrock"}, "not beginning with aws/"),
        ({"log_group": "a b"}, 'log_group: got "a b"; write a log group\'s name'),
        ({"log_group": "x" * 513}, "1 to 512 letters"),
        ({"create": "yes"}, 'create: got "yes"; write true or false'),
        ({"identity": {"rolls": {}}}, 'rolls: unknown key; did you mean "roles"?'),
        ({"identity": {"metadata": {"k": "region"}}}, 'metadata.k: got "region"; the log itself'),
        ({"identity": {"metadata": {"": "team"}}}, "it is empty; write a name"),
        ({"identity": {"roles": {"r": {"iam_role": "x"}}}}, "roles.r.iam_role: got"),
        ({"identity": {"roles": {"r": {"team": ""}}}}, "write a text of 1 to 256 bytes"),
        ({"identity": {"roles": {"r": {"team": "é" * 129}}}}, "write a text of 1 to 256 bytes"),
        ({"identity": {"profiles": []}}, "profiles: got []; write an object"),
        ({"identity": {"principal_as": "a b"}}, 'principal_as: got "a b"; write an attribute'),
        ({"models": {"p": ""}}, 'models.p: got ""; it is empty'),
        ({"skip_roles": "all"}, 'skip_roles: got "all"; write a list'),
        ({"skip_roles": [7]}, "skip_roles[0]: got 7; write a text"),
        ({"prices": ""}, 'prices: got ""; it is empty'),
    ],
)
def test_a_mistake_is_named_with_what_to_write(block: Any, sentence: str) -> None:
    assert sentence in report_of(block)


def test_all_mistakes_are_told_at_once() -> None:
    report = report_of(
        {
            "log_group": "a b",
            "create": 1,
            "identity": {"metadata": {"k": "region"}, "principal_as": ""},
            "skip_roles": [""],
            "colour": 1,
        }
    )

    assert report.startswith("6 mistakes in the configuration:")
