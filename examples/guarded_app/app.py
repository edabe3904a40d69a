"""A chat API that can't spend more than its budgets: `budgets.json` beside this file.

From the project's root:

    hypercorn --bind 127.0.0.1:8000 'examples/guarded_app/app.py:create_app()'

The provider is made up, so nothing leaves this machine; all the rest is as in your own app.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import prometheus_client
from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from spendfuse.config import budgets_from_file
from spendfuse.guard import Guard, Reservation
from spendfuse.guard.fastapi import RESPONSES, install, reservation
from spendfuse.guard.prometheus import GuardCollector
from spendfuse.metering import CostTracker, open_sinks, report_usage

BUDGETS = Path(__file__).parent / "budgets.json"
MODEL = "gpt-4o"


class Question(BaseModel):
    prompt: str = Field(max_length=100_000)
    max_tokens: int = Field(500, gt=0, le=1_000_000)


def create_app(budgets: Path | str = BUDGETS, records: str = "build/guarded_app") -> FastAPI:
    guard = Guard(budgets_from_file(budgets))
    tracker = CostTracker(sinks=open_sinks([{"kind": "jsonl", "folder": records}]))
    registry = prometheus_client.CollectorRegistry()
    registry.register(GuardCollector(guard))

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        guard.close()
        tracker.close()

    app = FastAPI(title="Guarded chat", lifespan=lifespan)
    install(app, guard, tracker, user=user_of)

    # What an answer may cost at most is held on the budgets, before the provider is asked.
    paid = reservation(guard, model=MODEL, prompt=prompt_of, max_tokens=max_tokens_of)
    Paid = Annotated[Reservation, Depends(paid)]  # noqa: N806 (a type)

    @app.post("/chat", responses=RESPONSES)
    async def chat(question: Question, held: Paid) -> dict[str, Any]:
        chunks = [chunk async for chunk in provider(question.prompt, held.max_tokens)]
        report_usage(MODEL, chunks[-1]["usage"])
        return {"answer": "".join(map(text_of, chunks)), "usage": chunks[-1]["usage"]}

    @app.post("/chat/stream", responses=RESPONSES)
    async def chat_stream(question: Question, held: Paid) -> StreamingResponse:
        async def texts() -> AsyncIterator[str]:
            usage = None
            try:
                async for chunk in provider(question.prompt, held.max_tokens):
                    usage = chunk["usage"]
                    yield text_of(chunk)
            finally:
                # The client may have left: what was streamed is charged all the same.
                if usage is not None:
                    report_usage(MODEL, usage)

        return StreamingResponse(texts(), media_type="text/plain")

    @app.get("/budgets")
    def my_budgets() -> list[dict[str, Any]]:
        return [each.to_json() for each in guard.check(model=MODEL)]

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(prometheus_client.generate_latest(registry), media_type="text/plain")

    return app


def user_of(scope: Any) -> str | None:
    """Stand for your own sign-in: who asks is said by the header X-User."""
    return Request(scope).headers.get("x-user")


async def prompt_of(question: Question) -> str:
    return question.prompt


async def max_tokens_of(question: Question) -> int:
    return question.max_tokens


def text_of(chunk: dict[str, Any]) -> str:
    return str(chunk["choices"][0]["delta"]["content"])


async def provider(prompt: str, max_tokens: int | None) -> AsyncIterator[dict[str, Any]]:
    """Stand for an LLM provider: chunks of an answer that is a bit shorter than it might be."""
    for number in range(1, 9):
        await asyncio.sleep(0.01)
        usage = {
            "prompt_tokens": len(prompt) // 4 + 1,
            "completion_tokens": (max_tokens or 500) * number // 10,
        }
        yield {"choices": [{"delta": {"content": f"word{number} "}}], "usage": usage}
