"""Synthesised templates, as the rules read them.

Any value of a template may be a reference that only a deployment resolves. What reads a value
here gives None, or nothing, for those: a rule speaks of what it knows, and never fails.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

_SUFFIX = ".template.json"
_UNKNOWN_REGION = "unknown-region"
_PSEUDO = {
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::AccountId": "123456789012",
    "AWS::URLSuffix": "amazonaws.com",
}


@dataclass(frozen=True)
class Stack:
    """One template, and where it is to be deployed."""

    name: str
    template: Mapping[str, Any]
    region: str | None = None
    """None: wherever the CDK CLI is told to go."""

    @property
    def description(self) -> str | None:
        return text(self.template.get("Description"))

    @cached_property
    def resources(self) -> Mapping[str, Mapping[str, Any]]:
        return {
            logical_id: resource
            for logical_id, resource in mapping(self.template.get("Resources")).items()
            if isinstance(resource, Mapping) and isinstance(resource.get("Type"), str)
        }


@dataclass(frozen=True)
class Resource:
    """One resource of a stack, with the assembly around it."""

    assembly: Assembly
    stack: Stack
    logical_id: str
    type: str
    properties: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.stack.name}/{self.logical_id}"

    def text(self, name: str) -> str | None:
        return text(self.properties.get(name))

    def number(self, name: str) -> float | None:
        return number(self.properties.get(name))

    def referred(self, value: object) -> Resource | None:
        """Return the resource that a value of this one refers to, in whichever stack it is."""
        return self.assembly.referred(self.stack, value)

    def rendered(self, value: object) -> str | None:
        """Return a text with its references filled in; what is not known yet is a ``0``."""
        return self.assembly.rendered(self.stack, value, unknown="0")

    def known(self, value: object) -> str | None:
        """Return a text with its references filled in, None if one is not known yet."""
        found = self.assembly.rendered(self.stack, value, unknown="\0")
        return None if found is None or "\0" in found else found


@dataclass(frozen=True)
class Assembly:
    """All stacks of a deployment."""

    stacks: tuple[Stack, ...]

    @classmethod
    def read(cls, folder: Path, *, region: str | None = None) -> Assembly:
        """Read ``cdk.out``; ``region`` is that of the stacks which name none themselves."""
        manifest = folder / "manifest.json"
        artifacts = json.loads(manifest.read_text(encoding="utf-8")) if manifest.exists() else {}
        regions = {
            name: _region(artifact)
            for name, artifact in mapping(artifacts.get("artifacts")).items()
        }
        names = {
            file.name.removesuffix(_SUFFIX): file for file in sorted(folder.glob(f"*{_SUFFIX}"))
        }
        return cls(
            tuple(
                Stack(
                    name,
                    json.loads(file.read_text(encoding="utf-8")),
                    regions.get(name) or region,
                )
                for name, file in names.items()
            )
        )

    @classmethod
    def of(cls, region: str | None = None, /, **templates: Mapping[str, Any]) -> Assembly:
        return cls(tuple(Stack(name, each, region) for name, each in templates.items()))

    def resources(self, *types: str) -> Iterator[Resource]:
        """Yield the resources of these types, or all of them."""
        for stack in self.stacks:
            for logical_id, resource in stack.resources.items():
                if not types or resource["Type"] in types:
                    yield self._resource(stack, logical_id)

    def referred(self, stack: Stack, value: object) -> Resource | None:
        """Return the resource that a value in that stack refers to."""
        if not isinstance(value, Mapping):
            return None
        logical_id = value.get("Ref") or _first(value.get("Fn::GetAtt"))
        if isinstance(logical_id, str):
            return self._resource(stack, logical_id) if logical_id in stack.resources else None
        exporter = self._exported(value.get("Fn::ImportValue"))
        return self.referred(*exporter) if exporter else None

    def rendered(self, stack: Stack, value: object, *, unknown: str) -> str | None:
        """Return a text with its references filled in, and ``unknown`` for the others."""
        if isinstance(value, str):
            return value
        if not isinstance(value, Mapping):
            return None
        join = value.get("Fn::Join")
        if isinstance(join, list) and len(join) == 2 and isinstance(join[1], list):  # noqa: PLR2004
            parts = (self.rendered(stack, part, unknown=unknown) for part in join[1])
            return str(join[0]).join(unknown if part is None else part for part in parts)
        pseudo = _PSEUDO.get(str(value.get("Ref")))
        return pseudo or self._name(stack, value) or unknown

    def _name(self, stack: Stack, value: Mapping[str, Any]) -> str | None:
        """Return the name that its resource was given, else something that tells it apart."""
        resource = self.referred(stack, value)
        if resource is None:
            return None
        return resource.text(_NAMES.get(resource.type, "")) or resource.logical_id

    def _resource(self, stack: Stack, logical_id: str) -> Resource:
        raw = stack.resources[logical_id]
        return Resource(self, stack, logical_id, raw["Type"], mapping(raw.get("Properties")))

    def _exported(self, export: object) -> tuple[Stack, object] | None:
        for stack in self.stacks:
            for output in mapping(stack.template.get("Outputs")).values():
                named = mapping(mapping(output).get("Export")).get("Name")
                if named is not None and named == export:
                    return stack, output.get("Value")
        return None


_NAMES = {
    "AWS::CloudWatch::Alarm": "AlarmName",
    "AWS::CloudWatch::CompositeAlarm": "AlarmName",
}


def _region(artifact: object) -> str | None:
    environment = str(mapping(artifact).get("environment", ""))
    region = environment.rpartition("/")[2]
    return region if region and region != _UNKNOWN_REGION else None


def _first(get_att: object) -> object:
    if isinstance(get_att, list):
        return get_att[0] if get_att else None
    return get_att.partition(".")[0] if isinstance(get_att, str) else None


def text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def number(value: object) -> float | None:
    """Return a number, which CloudFormation takes as a text too."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def shown(value: float) -> str:
    """Return a number as people write it: 1,209,600 and not 1.2096e+06."""
    return f"{value:,.10g}"


def mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def listed(value: object) -> list[Any]:
    """Return a list's values, or the one value that stands where a list may."""
    if isinstance(value, list):
        return value
    return [] if value is None else [value]


def objects(value: object) -> list[Mapping[str, Any]]:
    """Return the objects of a list."""
    return [each for each in listed(value) if isinstance(each, Mapping)]
