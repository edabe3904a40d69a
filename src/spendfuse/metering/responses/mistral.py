"""Mistral's document reading, billed by the page; its chat speaks OpenAI's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spendfuse.metering.responses.counting import usage_from
from spendfuse.metering.responses.fields import fields_of, items_of
from spendfuse.metering.responses.response import Response, model_of


def is_mine(fields: Mapping[str, Any]) -> bool:
    return fields.get("usage_info") is not None


def read(fields: Mapping[str, Any], provider: str) -> Response:
    usage = usage_from(fields["usage_info"], provider=provider)
    if _is_annotated(fields):
        usage = usage_from(usage.counts() | {"annotated_pages": usage.pages})
    return Response(provider or "mistral", model_of(fields), usage)


def _is_annotated(fields: Mapping[str, Any]) -> bool:
    if fields.get("document_annotation") is not None:
        return True
    pages = (fields_of(page) for page in items_of(fields.get("pages")))
    images = (image for page in pages for image in items_of(page.get("images")))
    return any(fields_of(image).get("image_annotation") is not None for image in images)
