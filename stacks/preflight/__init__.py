"""What AWS would refuse, or do silently wrong, in a template that every other check passes.

cfn-lint and the CDK take eleven notifications on a budget, two topics on one rung, a window of a
month or an environment of five kilobytes; the deployment fails, or loses messages, hours later.
These rules read the synthesised templates, so they see what is deployed and not what was meant.
docs/preflight.md has each of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from spendfuse.errors import SettingsError
from stacks.preflight import (
    alarms,
    anomalies,
    budgets,
    dashboards,
    functions,
    names,
    queues,
    regions,
    topics,
)
from stacks.preflight.assembly import Assembly
from stacks.preflight.functions import asset_problems

_STACK_DESCRIPTION_BYTES = 1024
"""https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-description-structure.html"""

__all__ = ["RULES", "asset_problems", "check", "problems", "warnings"]

RULES = (
    *alarms.RULES,
    *budgets.RULES,
    *anomalies.RULES,
    *topics.RULES,
    *functions.RULES,
    *queues.RULES,
    *dashboards.RULES,
    *names.RULES,
    *regions.RULES,
)


def check(folder: Path, *, region: str | None = None) -> list[str]:
    """Check a synthesised cloud assembly, the folder ``cdk.out``; return what is to be warned of.

    Args:
        folder: the assembly.
        region: where the stacks that name no region go to, if that is known.

    Raises:
        SettingsError: every problem, a line each.
    """
    assembly = Assembly.read(folder, region=region)
    found = [*problems(assembly)]
    for asset in sorted(folder.glob("asset.*")):
        found += asset_problems(asset)
    if found:
        lines = [f"  {problem}" for problem in found]
        raise SettingsError("\n".join(["AWS would not take this deployment:", *lines]))
    return [f"warning: {each}" for each in warnings(assembly)]


def problems(assembly: Assembly) -> Iterator[str]:
    """Yield what AWS refuses or loses, as ``<stack>/<logical id>: <reason>``."""
    yield from _long_descriptions(assembly)
    yield from _broken(assembly, warns=False)


def warnings(assembly: Assembly) -> Iterator[str]:
    """Yield what AWS takes, and what may not do what was meant."""
    yield from _broken(assembly, warns=True)


def _broken(assembly: Assembly, *, warns: bool) -> Iterator[str]:
    for resource in assembly.resources():
        for rule in RULES:
            if rule.warns == warns and resource.type in rule.types:
                for problem in rule.check(resource):
                    yield f"{resource}: {problem}"


def _long_descriptions(assembly: Assembly) -> Iterator[str]:
    for stack in assembly.stacks:
        size = len((stack.description or "").encode())
        if size > _STACK_DESCRIPTION_BYTES:
            yield (
                f"{stack.name}/Description: has {size} bytes; CloudFormation takes "
                f"{_STACK_DESCRIPTION_BYTES} (ValidationError): shorten it"
            )
