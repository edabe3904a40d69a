"""API keys: a disabled key is refused, tags count in policies, lists keep the secrets back.

And a function behind a key is told which one, as ``requestContext.identity.apiKeyId``.
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-mapping-template-reference.html
"""
# ruff: noqa: SLF001 - to mend the emulator is to reach into it

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from ministack.services import apigateway_v1, tagging


def mend() -> None:
    """Take the place of the emulator's own."""
    update_key, list_keys = apigateway_v1._update_api_key, apigateway_v1._get_api_keys

    def update_api_key(key_id: str, data: Mapping[str, Any]) -> Any:
        return update_key(key_id, {**data, "patchOperations": typed_patch(data)})

    def get_api_keys(query: Mapping[str, Any]) -> Any:
        status, headers, body = list_keys(query)
        asked = "true" in [str(each).lower() for each in query.get("includeValues", [])]
        if status == HTTPStatus.OK and not asked:
            body = without_values(body)
        return status, headers, body

    build_event = apigateway_v1._build_lambda_event_v1

    def build_lambda_event(*arguments: Any, **options: Any) -> Any:
        event = build_event(*arguments, **options)
        key = apigateway_v1._resolve_api_key(
            apigateway_v1._api_key_from_request(event.get("headers") or {})
        )
        if key is not None:
            identity = event["requestContext"]["identity"]
            identity.update(apiKeyId=key["id"], apiKey=key["value"])
        return event

    apigateway_v1._build_lambda_event_v1 = build_lambda_event
    apigateway_v1._update_api_key = update_api_key
    apigateway_v1._get_api_keys = get_api_keys
    tagging._RESOURCE_TAG_COLLECTORS["apigateway"] = api_key_tags


def typed_patch(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the patch with ``enabled`` as a boolean: the text "false" would count as true."""
    return [
        {**each, "value": str(each.get("value")).lower() == "true"}
        if each.get("path") == "/enabled"
        else each
        for each in data.get("patchOperations", [])
    ]


def without_values(body: bytes) -> bytes:
    """Return the page of keys without the keys themselves."""
    page = json.loads(body)
    for key in page.get("item", []):
        key.pop("value", None)
    return json.dumps(page).encode()


def api_key_tags() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Return each key's ARN and tags, for ``aws:ResourceTag`` conditions."""
    region = apigateway_v1.get_region()
    for key_id, key in apigateway_v1._api_keys.items():
        arn = f"arn:aws:apigateway:{region}::/apikeys/{key_id}"
        # The tags it was made with, and those it was given later.
        tags = {**(key.get("tags") or {}), **apigateway_v1._v1_tags.get(arn, {})}
        yield arn, [{"Key": name, "Value": value} for name, value in tags.items()]
