"""Whose a logged call is: what the log tells, the configuration adds and the caller says."""

from __future__ import annotations

from typing import Any

import pytest
from bedrock_deliveries import an_entry

from spendfuse.bedrock_rules import FACTS, BedrockRules, bedrock_rules_from_json
from spendfuse.errors import SettingsError
from spendfuse.metering.attribution import MAX_ATTRIBUTES
from spendfuse.metering.bedrock_identity import attributes, is_metered_elsewhere

NO_RULES = BedrockRules()


def by(arn: Any, **over: Any) -> dict[str, Any]:
    return an_entry("converse-stream", identity={"arn": arn}, **over)


@pytest.mark.parametrize(
    ("arn", "expected"),
    [
        (
            "arn:aws:sts::123456789012:assumed-role/search-service/i-0abc",
            {"iam_role": "search-service", "iam_session": "i-0abc"},
        ),
        ("arn:aws:sts::123456789012:assumed-role/search-service", {"iam_role": "search-service"}),
        ("arn:aws:iam::123456789012:user/dana", {"iam_user": "dana"}),
        ("arn:aws:iam::123456789012:user/people/eu/dana", {"iam_user": "dana"}),
        ("arn:aws-us-gov:iam::123456789012:user/dana", {"iam_user": "dana"}),
        ("arn:aws:sts::123456789012:federated-user/dana", {"iam_user": "dana"}),
        ("arn:aws:iam::123456789012:root", {"iam_user": "root"}),
        ("arn:aws:iam::123456789012:group/x", {}),
        ("no arn", {}),
        (None, {}),
        (7, {}),
    ],
)
def test_the_iam_principal_is_told_by_its_arn(arn: Any, expected: dict[str, str]) -> None:
    found = attributes(by(arn), NO_RULES)

    assert {key: value for key, value in found.items() if key.startswith("iam_")} == expected


def test_the_entry_s_own_facts_are_attributes() -> None:
    found = attributes(an_entry("converse-without-bodies"), NO_RULES)

    assert found["inference_profile"] == "a1b2c3d4e5f6"
    assert (found["account"], found["region"]) == ("123456789012", "us-east-1")
    assert found["operation"] == "Converse"
    cached = attributes(an_entry("invoke-stream-cached"), NO_RULES)
    assert cached["inference_region"] == "ap-southeast-4"


def test_request_metadata_keeps_its_names_but_for_those_that_are_mapped() -> None:
    found = attributes(
        an_entry("converse-without-bodies"), BedrockRules(metadata={"cost-team": "team"})
    )

    assert (found["team"], found["environment"], found["feature"]) == ("support", "prod", "triage")
    assert "cost-team" not in found


def test_what_is_nearer_to_the_call_wins() -> None:
    rules = BedrockRules(
        roles={"gateway": {"team": "role", "project": "role", "environment": "role"}},
        profiles={"a1b2c3d4e5f6": {"team": "profile", "project": "profile"}},
        metadata={"cost-team": "team"},
    )
    found = attributes(an_entry("converse-without-bodies"), rules)

    # The metadata has a team and an environment, and no project.
    assert (found["team"], found["project"], found["environment"]) == ("support", "profile", "prod")


def test_the_first_pattern_that_fits_a_role_holds() -> None:
    rules = BedrockRules(
        roles={
            "AWSReservedSSO_Developer_*": {"team": "engineering"},
            "AWSReservedSSO_*": {"team": "others"},
        }
    )

    assert attributes(an_entry("invoke-stream-cached"), rules)["team"] == "engineering"
    assert "team" not in attributes(by(None), BedrockRules(roles={"*": {"team": "all"}}))


@pytest.mark.parametrize(
    ("arn", "user"),
    [
        ("arn:aws:sts::1:assumed-role/AWSReservedSSO_X_1/dana@example.com", "dana@example.com"),
        ("arn:aws:iam::1:user/dana", "dana"),
        (None, None),
    ],
)
def test_the_nearest_to_a_person_can_be_the_user(arn: str | None, user: str | None) -> None:
    assert attributes(by(arn), BedrockRules(principal_as="user")).get("user") == user


@pytest.mark.parametrize("fact", FACTS)
def test_no_metadata_changes_a_fact(fact: str) -> None:
    entry = an_entry("converse-without-bodies", requestMetadata={fact: "forged"})
    known = attributes(an_entry("converse-without-bodies"), NO_RULES)

    assert attributes(entry, NO_RULES).get(fact) == known.get(fact, "forged")


def test_attributes_are_cut_to_what_the_ledger_takes() -> None:
    metadata = {f"key-{number}": "é" * 500 for number in range(100)} | {"empty": "", "n": 7}
    found = attributes(an_entry("converse-stream", requestMetadata=metadata), NO_RULES)

    assert len(found) == MAX_ATTRIBUTES
    assert found["iam_user"] == "dana"
    assert all(0 < len(value.encode()) <= 256 for value in found.values())


@pytest.mark.parametrize(
    ("metadata", "skip_roles", "expected"),
    [
        ({"spendfuse": "metered"}, (), True),
        ({"spendfuse": "other"}, (), False),
        ({}, ("search-*",), True),
        ({}, ("search",), False),
        ({}, ("*",), True),
        (None, (), False),
        ("spendfuse", (), False),
    ],
)
def test_a_call_that_an_sdk_meters_is_left_out(
    metadata: Any, skip_roles: tuple[str, ...], expected: bool
) -> None:
    entry = an_entry("converse-cached-1h", requestMetadata=metadata)

    assert is_metered_elsewhere(entry, BedrockRules(skip_roles=skip_roles)) is expected


def test_a_call_of_nobody_is_not_skipped_by_any_pattern() -> None:
    assert not is_metered_elsewhere(by(None), BedrockRules(skip_roles=("*",)))


def test_the_mark_of_an_sdk_is_no_attribute() -> None:
    entry = an_entry("converse-stream", requestMetadata={"spendfuse": "other", "team": "t"})

    assert "spendfuse" not in attributes(entry, NO_RULES)


def test_the_rules_travel_in_the_order_in_which_they_were_written() -> None:
    rules = BedrockRules(
        metadata={"z": "team", "a": "user"},
        roles={"z*": {"team": "z"}, "a*": {"team": "a"}},
        profiles={"p": {"team": "p"}},
        principal_as="user",
        models={"p": "m"},
        skip_roles=("s",),
    )
    read = bedrock_rules_from_json(rules.to_json())

    assert read == rules
    assert list(read.roles) == ["z*", "a*"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"skip_roles": [], "colour": 1}'])
def test_a_file_that_is_no_set_of_rules_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"bedrock_log\.json can't be read"):
        bedrock_rules_from_json(text)
