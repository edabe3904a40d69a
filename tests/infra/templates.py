"""Reading synthesised templates: references turned into names that a person can read.

``{"Fn::GetAtt": ["FuseTableB54B7C78", "Arn"]}``, or an import of it in another stack, is
``fuse/FuseTable.Arn``; the hash that CDK adds to a logical id is left off.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_HASH = re.compile(r"[0-9A-F]{8}$")
_SUFFIX = ".template.json"


@dataclass(frozen=True)
class Templates:
    """The stacks of one deployment, by their short names."""

    assembly: Path
    deployment: str
    stacks: Mapping[str, Mapping[str, Any]]

    @classmethod
    def read(cls, assembly: Path, deployment: str) -> Templates:
        files = sorted(assembly.glob(f"*{_SUFFIX}"))
        names = {file: file.name.removesuffix(_SUFFIX) for file in files}
        return cls(
            assembly,
            deployment,
            {
                name.removeprefix(f"{deployment}-"): json.loads(file.read_text())
                for file, name in names.items()
            },
        )

    def of_type(self, type_: str) -> dict[str, Mapping[str, Any]]:
        """Return the resources of one type, by ``<stack>/<readable id>``."""
        return {name: each for name, each in self.resources() if each["Type"] == type_}

    def resources(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for stack, template in self.stacks.items():
            for logical_id, resource in template["Resources"].items():
                yield f"{stack}/{readable(logical_id)}", resource

    def text(self, stack: str, value: Any) -> str:
        """Return a value of a template with all references made readable."""
        if not isinstance(value, Mapping):
            return str(value)
        if "Ref" in value:
            own = value["Ref"].startswith("AWS::")
            return f"<{value['Ref']}>" if own else f"{stack}/{readable(value['Ref'])}"
        if "Fn::GetAtt" in value:
            logical_id, attribute = value["Fn::GetAtt"]
            return f"{stack}/{readable(logical_id)}.{attribute}"
        if "Fn::Join" in value:
            separator, parts = value["Fn::Join"]
            return str(separator).join(self.text(stack, part) for part in parts)
        return self._imported(value["Fn::ImportValue"])

    def _imported(self, export: str) -> str:
        for stack, template in self.stacks.items():
            for output in template.get("Outputs", {}).values():
                if output.get("Export", {}).get("Name") == export:
                    return self.text(stack, output["Value"])
        raise AssertionError(f"no stack exports {export}")


def readable(logical_id: str) -> str:
    return _HASH.sub("", logical_id)


def listed(value: Any) -> list[Any]:
    """Return what CloudFormation writes as one thing or as a list of them."""
    return value if isinstance(value, list) else [value]


def alarms_of(template: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the properties of a template's alarms, by their names without the deployment."""
    types = ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
    return {
        each["Properties"]["AlarmName"].removeprefix("acme-"): each["Properties"]
        for each in template["Resources"].values()
        if each["Type"] in types
    }
