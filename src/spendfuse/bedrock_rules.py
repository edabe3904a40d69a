"""Whose a call in Bedrock's invocation log is: the rules of cdk.json, as they travel in the asset.

``spendfuse.config`` makes them at synth; the function that reads the log needs the standard
library alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from spendfuse.errors import SettingsError

FILE_NAME = "bedrock_log.json"
PRICES_FILE_NAME = "prices.json"
"""Beside it: the price book's snapshot."""

FACTS = (
    "account",
    "iam_role",
    "iam_session",
    "iam_user",
    "inference_profile",
    "inference_region",
    "operation",
    "region",
)
"""Attributes that the log itself tells; neither configuration nor metadata can change them."""


@dataclass(frozen=True, slots=True)
class BedrockRules:
    """Which attributes a logged call gets, beside the facts of the log."""

    metadata: Mapping[str, str] = field(default_factory=dict)
    """The attribute that a key of the request metadata becomes; others keep their names."""
    roles: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Attributes by the name of the IAM role or user, which may be a pattern; the first holds."""
    profiles: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Attributes by the id of the application inference profile."""
    principal_as: str | None = None
    """An attribute that the role's session name, or the IAM user's name, is copied to."""
    models: Mapping[str, str] = field(default_factory=dict)
    """The price book's model for ids and ARNs that don't name one."""
    skip_roles: tuple[str, ...] = ()
    """Roles and users, or patterns of them, that are metered elsewhere."""

    def to_json(self) -> str:
        """Return the file's text. Its order is the configuration's: the first pattern holds."""
        return json.dumps(asdict(self), indent=1)


def bedrock_rules_from_json(text: str) -> BedrockRules:
    """Read what ``BedrockRules.to_json`` wrote.

    Raises:
        SettingsError: not such a file.
    """
    try:
        raw = json.loads(text)
        return BedrockRules(**{**raw, "skip_roles": tuple(raw["skip_roles"])})
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            f"{FILE_NAME} can't be read ({error!r}); it is made by `cdk synth` and must be "
            "deployed with the code that reads it"
        ) from error
