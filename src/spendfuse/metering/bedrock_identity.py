"""Who made a call in Bedrock's log: its IAM principal, its profile and its own metadata.

Everything becomes an attribute. What is nearer to the call wins: its metadata over its profile,
its profile over its role. The facts of the log win over all of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from spendfuse.bedrock_rules import BedrockRules
from spendfuse.metering.attribution import NOBODY, extended
from spendfuse.metering.bedrock_usage import Entry, section

METERED = ("spendfuse", "metered")
"""Request metadata that an app sends which is metered already: its call is not counted here."""

_PRINCIPAL = re.compile(
    r"arn:[^:]*:(?:iam|sts)::\d*:(?P<kind>assumed-role|user|federated-user|root)/?(?P<path>.*)",
    re.DOTALL,
)
_PROFILE = re.compile(r"arn:[^:]*:bedrock:[^:]*:\d*:application-inference-profile/(?P<id>.+)")


class Principal(NamedTuple):
    """An IAM role with its session, or a user, whose name then stands in both."""

    name: str
    person: str
    """The session's name or the user's: the nearest to a person that IAM knows."""
    facts: Mapping[str, str]


NO_PRINCIPAL = Principal("", "", {})


def principal(entry: Entry) -> Principal:
    """Return who made the call; an ARN of an unknown kind is nobody's."""
    arn = section(entry, "identity").get("arn")
    match = _PRINCIPAL.fullmatch(arn) if isinstance(arn, str) else None
    if match is None:
        return NO_PRINCIPAL
    kind, path = match["kind"], match["path"]
    if kind == "assumed-role":
        role, _, session = path.partition("/")
        return Principal(role, session, {"iam_role": role, "iam_session": session})
    name = "root" if kind == "root" else path.rpartition("/")[2]
    return Principal(name, name, {"iam_user": name})


def profile_id(entry: Entry) -> str:
    """Return the application inference profile that was called, or an empty text."""
    model = entry.get("modelId")
    match = _PROFILE.fullmatch(model) if isinstance(model, str) else None
    return match["id"] if match else ""


def is_metered_elsewhere(entry: Entry, rules: BedrockRules) -> bool:
    """Return whether an SDK counts this call, by its metadata or by its role."""
    key, value = METERED
    if section(entry, "requestMetadata").get(key) == value:
        return True
    name = principal(entry).name
    return bool(name) and any(fnmatchcase(name, pattern) for pattern in rules.skip_roles)


def attributes(entry: Entry, rules: BedrockRules) -> Mapping[str, str]:
    """Return what budgets match on, cut to what the ledger takes."""
    caller, profile = principal(entry), profile_id(entry)
    facts = {
        **caller.facts,
        "inference_profile": profile,
        "account": entry.get("accountId"),
        "region": entry.get("region"),
        "inference_region": entry.get("inferenceRegion"),
        "operation": entry.get("operation"),
    }
    found = {
        **_of_role(caller.name, rules),
        **({rules.principal_as: caller.person} if rules.principal_as else {}),
        **rules.profiles.get(profile, {}),
        **_metadata(entry, rules),
    }
    # First the facts: what is above the ledger's number of attributes is left out.
    known = extended(NOBODY, _texts(facts))
    return extended(known, {**_texts(found), **known.attributes}).attributes


def _of_role(name: str, rules: BedrockRules) -> Mapping[str, str]:
    found = (given for pattern, given in rules.roles.items() if fnmatchcase(name, pattern))
    return next(found, {}) if name else {}


def _metadata(entry: Entry, rules: BedrockRules) -> dict[str, Any]:
    given = section(entry, "requestMetadata")
    return {
        rules.metadata.get(key, key): value for key, value in given.items() if key != METERED[0]
    }


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Leave out what is no text: the log's own values are texts, all of them."""
    return {key: value for key, value in values.items() if key and isinstance(value, str) and value}
