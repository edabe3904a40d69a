"""The checks of single fields: each returns the value, or says in a ValueError what to write.

They know no pydantic: what concerns the shape is in ``config.schema``, and what a budget counts
in ``config.scopes``.
"""

from __future__ import annotations

import difflib
import re
from decimal import Decimal
from itertools import pairwise
from typing import Any

from spendfuse.bedrock_rules import FACTS
from spendfuse.errors import InputError
from spendfuse.money import decimal_usd, nano_usd

REQUIRED_TAGS = ("Project", "Environment", "Team", "CostCenter", "Owner")

# AWS: a secret's name, and what tags may hold.
# https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html
# https://docs.aws.amazon.com/tag-editor/latest/userguide/best-practices-and-strats.html
_SECRET_NAME = re.compile(r"[A-Za-z0-9/_+=.@-]{1,512}")
_TAG_VALUE = re.compile(r"[\w\s.:/=+\-@]{1,256}")
_TAG_KEY = re.compile(r"(?!aws:)[\w\s.:/=+\-@]{1,128}", re.IGNORECASE)
MAX_TAGS = 50
MAX_LIMIT_USD = 1_000_000_000
FILTER_KEYS = (
    "AZ",
    "BillingEntity",
    "CacheEngine",
    "CostCategory",
    "DatabaseEngine",
    "DeploymentOption",
    "InstanceType",
    "InstanceTypeFamily",
    "InvoicingEntity",
    "LegalEntityName",
    "LinkedAccount",
    "OperatingSystem",
    "Operation",
    "Platform",
    "PurchaseType",
    "RecordType",
    "Region",
    "Service",
    "SubscriptionType",
    "Tag",
    "TagKey",
    "TagKeyValue",
    "Tenancy",
    "UsageType",
    "UsageTypeGroup",
)
"""AWS documents no whole list of CostFilters: these are the dimensions it filters costs by.

Which of them a cost budget takes AWS decides at the deployment; a misspelt one never passes.
https://docs.aws.amazon.com/cost-management/latest/userguide/budgets-create-filters.html
"""
# What is left of a Slack webhook's URL when somebody drops the https://.
_WEBHOOK = re.compile(r"hooks\.slack|(^|/)services/|T[A-Z0-9]+/B[A-Z0-9]+/")
_EMAIL = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+\.[^@\s,;<>]+")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html
_LOG_GROUP = re.compile(r"(?!aws/)[A-Za-z0-9_./#-]{1,512}")
# https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_AnomalySubscription.html
_MONITOR_ARN = re.compile(r"arn:aws[a-z-]*:ce::\d{12}:anomalymonitor/[0-9a-zA-Z-]+")
MAX_ATTRIBUTE_BYTES = 256
MIN_BAND, MAX_BAND = 0.1, 10
MAX_RUNBOOKS_CHARACTERS = 400
"""An alarm's description has 1,024 characters, and most of them are for people."""
MAX_STACK_NAME = 63
STACK_NAME = re.compile(rf"[A-Za-z][A-Za-z0-9-]{{0,{MAX_STACK_NAME - 1}}}")


def limit_usd(value: Any) -> Decimal:
    return _limit(value, "write the dollars of one period, such as 1000")


def usd_per_minute(value: Any) -> Decimal:
    return _limit(value, "write the dollars of one minute, such as 2")


def alarm_usd(value: Any) -> Decimal:
    return _limit(value, "write the dollars from which on to ring, such as 20", what="the amount")


def band(value: Any) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not MIN_BAND <= value <= MAX_BAND:
        raise ValueError(
            f"write the band's width in standard deviations, {MIN_BAND} to {MAX_BAND}, such as 3: "
            "the wider, the rarer the alarm"
        )
    return float(value)


def runbooks(value: str) -> str:
    base = value.rstrip("/")
    if not base or len(base) > MAX_RUNBOOKS_CHARACTERS or re.search(r"\s", base):
        raise ValueError(
            f"write the folder or URL of the runbooks, 1 to {MAX_RUNBOOKS_CHARACTERS} characters "
            'without spaces, such as "docs/runbooks"'
        )
    return base


def monitor_arn(value: str) -> str:
    if not _MONITOR_ARN.fullmatch(value):
        raise ValueError(
            "write the ARN of a Cost Anomaly Detection monitor, such as "
            "'arn:aws:ce::123456789012:anomalymonitor/1a2b3c4d-...', or leave it out for a new one"
        )
    return value


def _limit(value: Any, hint: str, *, what: str = "the limit") -> Decimal:
    try:
        amount = decimal_usd(value)
    except InputError as error:
        raise ValueError('write an amount in dollars, such as 1000 or "0.75"') from error
    if amount <= 0:
        raise ValueError(f"{what} must be above 0; {hint}")
    if amount > MAX_LIMIT_USD:
        raise ValueError(f"{what} may be ${MAX_LIMIT_USD:,} at most; write fewer dollars")
    try:
        nano_usd(amount)
    except InputError as error:
        raise ValueError(
            "it is finer than a nano-dollar; write at most 9 decimal places"
        ) from error
    return amount


def secret_name(value: str) -> str:
    if "://" in value or _WEBHOOK.search(value):
        raise ValueError(
            "a webhook URL is a secret and does not belong here; store it in AWS Secrets Manager "
            "and write the secret's name, such as 'spendfuse/slack-webhook'"
        )
    if not _SECRET_NAME.fullmatch(value):
        raise ValueError("write the secret's name: 1 to 512 letters, digits and /_+=.@-")
    return value


def email(value: str) -> str:
    if not _EMAIL.fullmatch(value):
        raise ValueError("write one address, such as 'finops@example.com'")
    return value


def name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("write 1 to 63 letters, digits and _.-, beginning with a letter or digit")
    return value


def stack_name(value: str) -> str:
    if not STACK_NAME.fullmatch(value):
        raise ValueError("write 1 to 63 letters, digits and -, beginning with a letter")
    return value


def log_group(value: str) -> str:
    if not _LOG_GROUP.fullmatch(value):
        raise ValueError(
            "write a log group's name: 1 to 512 letters, digits and _./#-, not beginning with "
            "aws/, such as '/spendfuse/bedrock'"
        )
    return value


def attribute(value: str) -> str:
    if value in FACTS:
        raise ValueError(f"the log itself tells {', '.join(FACTS)}; write another attribute")
    if not _NAME.fullmatch(value):
        raise ValueError("write an attribute, such as 'team': letters, digits and _.-")
    return value


def attribute_value(value: str) -> str:
    if not 0 < len(value.encode("utf-8", "replace")) <= MAX_ATTRIBUTE_BYTES:
        raise ValueError(f"write a text of 1 to {MAX_ATTRIBUTE_BYTES} bytes")
    return value


def filled(value: str) -> str:
    if not value.strip():
        raise ValueError("it is empty; write a name, or take it out")
    return value


def tags(value: dict[str, str]) -> dict[str, str]:
    missing = [tag for tag in REQUIRED_TAGS if not value.get(tag)]
    if missing:
        raise ValueError(f"add the required tags {', '.join(missing)}")
    keys = [key for key in value if not _TAG_KEY.fullmatch(key)]
    if keys or len(value) > MAX_TAGS:
        mend = ", ".join(map(repr, keys)) or "their number"
        raise ValueError(
            f"a resource takes {MAX_TAGS} tags, their keys of letters, digits, spaces and "
            f"_.:/=+-@, not beginning with aws:; mend {mend}"
        )
    wrong = [tag for tag, text in value.items() if not _TAG_VALUE.fullmatch(text)]
    if wrong:
        raise ValueError(
            f"the value of {', '.join(wrong)} has characters that AWS refuses in tags; "
            "write letters, digits, spaces and _.:/=+-@"
        )
    return value


def distinct(emails: list[str]) -> list[str]:
    twice = sorted({each for each in emails if emails.count(each) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)} stands here twice; keep one")
    return emails


def filters(value: dict[str, list[str]]) -> dict[str, list[str]]:
    for key, values in value.items():
        if key not in FILTER_KEYS:
            folded = {each.lower(): each for each in FILTER_KEYS}
            plain = re.sub(r"[^a-z]", "", key.lower())
            near = difflib.get_close_matches(plain, folded, n=1, cutoff=0.5)
            hint = f'did you mean "{folded[near[0]]}"? ' if near else ""
            raise ValueError(
                f'AWS Budgets has no filter "{key}"; {hint}it has {", ".join(FILTER_KEYS)}'
            )
        if not values or not all(each.strip() for each in values):
            raise ValueError(
                f'"{key}" filters by nothing; write its values, such as '
                '{"Service": ["Amazon Bedrock"]}, or take it out'
            )
    return value


def rising(percents: list[int]) -> None:
    for below, above in pairwise(percents):
        if below == above:
            raise ValueError(f"{above} % stands here twice; keep one")
        if below > above:
            raise ValueError(
                f"{above} % comes after {below} %; write the lowest first: {sorted(set(percents))}"
            )


def rising_percents(percents: list[int]) -> list[int]:
    rising(percents)
    return percents
