"""API Gateway's key calls, answered inside botocore: real requests in, real errors out.

moto's API Gateway needs a library that the project does without, and this one can throttle.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
from botocore.awsrequest import AWSResponse
from botocore.config import Config

PASSED_BY_MOTO: Any = {"core": {"passthrough": {"services": ["apigateway"]}}}
"""For ``mock_aws(config=...)``: moto would answer the calls as well."""


class ApiGateway:
    """The keys of one account, and a client that reaches them."""

    def __init__(self) -> None:
        self.keys: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, str]] = []
        self.errors: list[tuple[int, str]] = []
        """The next answers, before any real one."""
        self.failing: set[str] = set()
        """Keys that can't be changed."""
        self.largest_page = 500
        self.client = boto3.client(
            "apigateway",
            region_name="eu-west-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
            # What is tried again, and when, is ours to test: botocore would sleep in earnest.
            config=Config(retries={"total_max_attempts": 1}),
        )
        self.client.meta.events.register("before-send.apigateway", self._answer)

    def add(self, id: str, *, enabled: bool = True, **tags: str) -> None:
        named = {f"spendfuse:{name}": value for name, value in tags.items()}
        self.keys[id] = {"id": id, "name": f"name-{id}", "enabled": enabled, "tags": named}

    def enabled(self) -> list[str]:
        return sorted(key["id"] for key in self.keys.values() if key["enabled"])

    def _answer(self, request: Any, **_: Any) -> AWSResponse:
        url = urlsplit(request.url)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        self.requests.append((request.method, url.path))
        # Whoever asks for values must fail here, as nobody has a reason to.
        assert "true" not in (query.get("includeValues"), query.get("includeValue"))
        if self.errors:
            status, code = self.errors.pop(0)
            return _response(status, {"message": code}, code)
        match = re.fullmatch(r"/apikeys(?:/(.+))?", url.path)
        assert match is not None
        if match[1] is None:
            return self._page(query)
        if match[1] not in self.keys:
            return _response(404, {"message": "no such key"}, "NotFoundException")
        if request.method == "PATCH" and match[1] in self.failing:
            return _response(409, {"message": "busy"}, "ConflictException")
        if request.method == "PATCH":
            self._patch(self.keys[match[1]], json.loads(request.body))
        return _response(200, {**self.keys[match[1]], "value": "never read this"})

    def _page(self, query: dict[str, str]) -> AWSResponse:
        start = int(query.get("position", 0))
        end = start + min(int(query["limit"]), self.largest_page)
        body: dict[str, Any] = {"item": list(self.keys.values())[start:end]}
        if end < len(self.keys):
            body["position"] = str(end)
        return _response(200, body)

    def _patch(self, key: dict[str, Any], body: dict[str, Any]) -> None:
        for patch in body["patchOperations"]:
            assert (patch["op"], patch["path"]) == ("replace", "/enabled")
            key["enabled"] = patch["value"] == "true"


class _Raw:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, *_: Any, **__: Any) -> Any:
        yield self._body


def _response(status: int, body: dict[str, Any], code: str = "") -> AWSResponse:
    headers = {"content-type": "application/json", "x-amzn-errortype": code}
    return AWSResponse("https://apigateway", status, headers, _Raw(json.dumps(body).encode()))
