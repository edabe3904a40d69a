"""A function's role, right by right: taken away, does something fail that the function promises?

A right is one action on one resource of the role's policy. What a function calls itself, IAM
enforces in the sandbox at once. What Lambda needs of the role to read a queue or a stream for the
function, our mends ask for when the source is given to it, as AWS does.
"""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from spendfuse.sandbox.demo.stage import Deployed


@dataclass(frozen=True, order=True)
class Right:
    """One action on one resource."""

    action: str
    resource: str
    statement: int

    def __str__(self) -> str:
        return f"{self.action} on {self.resource}"


@dataclass(frozen=True)
class Excuse:
    """A right that the sandbox does not ask for; the test of the template stands for it."""

    action: str
    reason: str
    of: str = ""
    """A part of the resource's name."""

    def covers(self, right: Right) -> bool:
        return right.action == self.action and self.of in right.resource


BY_LAMBDA = "Lambda does it in the function's name, and the emulator does so without asking"
WRITES_LOGS = (
    Excuse("logs:CreateLogStream", BY_LAMBDA),
    Excuse("logs:PutLogEvents", BY_LAMBDA),
)


class Role:
    """The inline policy of a function's role, which is all that it may do."""

    def __init__(self, stage: Deployed, function: str) -> None:
        self._iam = stage.sandbox.client("iam")
        configuration = stage.sandbox.client("lambda").get_function(FunctionName=function)
        self._name = configuration["Configuration"]["Role"].rpartition("/")[2]
        (self._policy,) = self._iam.list_role_policies(RoleName=self._name)["PolicyNames"]
        attached = self._iam.list_attached_role_policies(RoleName=self._name)
        assert attached["AttachedPolicies"] == []
        self._document = self._iam.get_role_policy(RoleName=self._name, PolicyName=self._policy)[
            "PolicyDocument"
        ]

    def rights(self) -> list[Right]:
        return [
            Right(action, resource, number)
            for number, statement in enumerate(self._document["Statement"])
            for action in _listed(statement["Action"])
            for resource in _listed(statement["Resource"])
        ]

    @contextlib.contextmanager
    def without(self, right: Right) -> Iterator[None]:
        """Take one right away, and give it back whatever happens."""
        reduced = copy.deepcopy(self._document)
        statement = reduced["Statement"].pop(right.statement)
        for action in _listed(statement["Action"]):
            resources = [
                each
                for each in _listed(statement["Resource"])
                if (action, each) != (right.action, right.resource)
            ]
            if resources:
                kept = {**statement, "Action": action, "Resource": resources}
                reduced["Statement"].append(kept)
        self._put(reduced)
        try:
            yield
        finally:
            self._put(self._document)

    @contextlib.contextmanager
    def with_more(self, *statements: dict[str, Any]) -> Iterator[None]:
        """Give the role more than it has, and take it back whatever happens."""
        more = copy.deepcopy(self._document)
        more["Statement"] += statements
        self._put(more)
        try:
            yield
        finally:
            self._put(self._document)

    def _put(self, document: dict[str, Any]) -> None:
        self._iam.put_role_policy(
            RoleName=self._name, PolicyName=self._policy, PolicyDocument=json.dumps(document)
        )


@dataclass
class Proof:
    """A function, and the scenario in which it keeps all of its promises."""

    stage: Deployed
    function: str
    scenario: Callable[[], None]
    """Raises AssertionError as soon as a promise is broken."""
    excuses: tuple[Excuse, ...] = WRITES_LOGS
    source: str | None = None
    """The queue or stream that Lambda reads for it."""
    remembers: tuple[str, ...] = ()
    """The actions whose answers its process keeps, and does not ask for again."""

    def unused(self, among: Iterable[Right] | None = None) -> list[Right]:
        """Return the rights, or those of them, without which all goes on as before."""
        role = Role(self.stage, self.function)
        self.check()
        unused = []
        for right in role.rights() if among is None else among:
            with role.without(right), contextlib.suppress(AssertionError):
                if right.action in self.remembers:
                    self.forget()
                self.check()
                unused.append(right)
        self.check()
        return unused

    def check(self) -> None:
        if self.source is not None:
            self._source_can_be_given()
        self.scenario()

    def _source_can_be_given(self) -> None:
        functions = self.stage.sandbox.client("lambda")
        is_stream = ":dynamodb:" in str(self.source)
        start = {"StartingPosition": "LATEST"} if is_stream else {}
        try:
            mapping = functions.create_event_source_mapping(
                FunctionName=self.function, EventSourceArn=self.source, Enabled=False, **start
            )
        except ClientError as error:
            raise AssertionError(str(error)) from error
        functions.delete_event_source_mapping(UUID=mapping["UUID"])

    def invoke(self, event: dict[str, Any]) -> Any:
        """Call the function itself, under its role; a failure of it breaks a promise."""
        answer = self.stage.sandbox.client("lambda").invoke(
            FunctionName=self.function, Payload=json.dumps(event)
        )
        said = answer["Payload"].read().decode()
        assert "FunctionError" not in answer, said
        return json.loads(said)

    def forget(self) -> None:
        """End the function's process, and all that it remembers."""
        functions = self.stage.sandbox.client("lambda")
        settings = functions.get_function_configuration(FunctionName=self.function)
        functions.update_function_configuration(
            FunctionName=self.function, Timeout=settings["Timeout"]
        )


def proves_each_right(proof: Proof, *others: Proof) -> None:
    """Fail with the rights that no scenario of the function uses, and that nothing excuses."""
    unused = proof.unused()
    for other in others:
        unused = other.unused(unused)
    useless = [str(right) for right in unused if not excused(right, proof.excuses)]
    # Once the sandbox asks for it, the excuse has to go.
    idle = [each for each in proof.excuses if not any(map(each.covers, unused))]

    assert useless == [], f"nothing fails without: {', '.join(useless)}"
    assert idle == [], f"excused, and yet asked for: {idle}"


def excused(right: Right, excuses: Iterable[Excuse]) -> bool:
    return any(each.covers(right) for each in excuses)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
