"""Stacks are described when they have settled.

The CDK CLI asks at once and then again after five seconds; here a stack takes a fraction of
one. So an answer that would say "in progress" waits for the end, up to a few seconds.
"""
# ruff: noqa: SLF001 - to mend the emulator is to reach into it

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs

from ministack.services import cloudformation

_WAIT_SECONDS = 4.0
_STEP_SECONDS = 0.02


def mend() -> None:
    """Take the place of the emulator's own."""
    handle = cloudformation.handle_request

    async def handle_when_settled(
        method: str, path: str, headers: Any, body: bytes, query: Any
    ) -> Any:
        name = described_stack(body)
        waited = 0.0
        while name and waited < _WAIT_SECONDS and _in_progress(name):
            await asyncio.sleep(_STEP_SECONDS)
            waited += _STEP_SECONDS
        return await handle(method, path, headers, body, query)

    cloudformation.handle_request = handle_when_settled


def described_stack(body: bytes) -> str | None:
    """Return the stack that the request asks about, None if it is another request."""
    form = parse_qs(body.decode("utf-8", errors="replace"))
    if form.get("Action") != ["DescribeStacks"]:
        return None
    return form.get("StackName", [""])[0]


def _in_progress(name: str) -> bool:
    for stack in list(cloudformation._stacks.values()):
        if name in (stack.get("StackName"), stack.get("StackId")):
            status = str(stack.get("StackStatus"))
            # A stack in review has its change set only, and waits for no end.
            return status.endswith("_IN_PROGRESS") and not status.startswith("REVIEW_")
    return False
