"""The real `openai` client against a gateway, and what the tests of that surface share."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai
from openai.types.chat import ChatCompletionChunk

from tests.integration.gateway.conftest import Hand, Running, until
from tests.stack import Reply, request

MESSAGES: Any = [{"role": "user", "content": "안녕?"}]
PATH = "/v1/chat/completions"


@asynccontextmanager
async def client(url: str, *, key: str = "none", **options: Any) -> AsyncIterator[openai.AsyncOpenAI]:
    """A client of that gateway that tries nothing twice."""
    made = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key, **{"max_retries": 0, "timeout": 60, **options})
    async with made:
        yield made


def post(url: str, body: Any, headers: dict[str, str] | None = None) -> Reply:
    """Posts a chat completion past the client; `body` as it is if it is bytes."""
    return request(
        url + PATH, method="POST", body=body, headers={"Content-Type": "application/json", **(headers or {})}
    )


def text(chunks: list[ChatCompletionChunk]) -> str:
    """The answer that the chunks add up to."""
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def finishes(chunks: list[ChatCompletionChunk]) -> list[str]:
    """The reasons to finish that were told."""
    return [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason]


def job(url: str, job_id: str) -> dict[str, Any]:
    """The job as it is now."""
    found: dict[str, Any] = request(f"{url}/v1/jobs/{job_id}").json
    return found


async def ended(url: str, job_id: str) -> dict[str, Any]:
    """The job once it has ended."""

    async def over() -> dict[str, Any] | None:
        found = job(url, job_id)
        return found if found["ended_at"] else None

    found: dict[str, Any] = await until(over, what=f"{job_id} ends")
    return found


class Listener:
    """A client that has asked for a stream and notes what comes."""

    def __init__(self, gateway: str, **fields: Any) -> None:
        self.tag = secrets.token_hex(8)
        self.chunks: list[ChatCompletionChunk] = []
        self.error: openai.APIError | None = None
        self._gateway = gateway
        fields["metadata"] = {"tag": self.tag, **fields.get("metadata", {})}
        self._fields = {"model": "fake/echo", "messages": MESSAGES, "stream": True, **fields}
        self._task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        async with client(self._gateway) as made:
            try:
                stream = await made.chat.completions.create(**self._fields)
                async for chunk in stream:
                    self.chunks.append(chunk)
            except openai.APIError as error:
                self.error = error

    @property
    def text(self) -> str:
        """What has come so far."""
        return text(self.chunks)

    async def job_id(self) -> str:
        """The job that this has become."""

        async def found() -> str | None:
            items = request(f"{self._gateway}/v1/jobs?metadata.tag={self.tag}").json["items"]
            return items[0]["id"] if items else None

        return str(await until(found, what="the job is accepted"))

    async def run_by(self, hand: Hand) -> Running:
        """The job, which this test runs itself."""
        return await hand.claim(await self.job_id())

    async def until_text(self, expected: str) -> None:
        """Returns once exactly that has come."""

        async def come() -> bool:
            assert expected.startswith(self.text), f"{self.text!r} is not the beginning of {expected!r}"
            return self.text == expected

        await until(come, what=f"{expected!r} comes; so far {self.text!r}")

    async def end(self) -> None:
        """Returns when the stream has ended."""
        await asyncio.wait_for(self._task, 30)

    async def leave(self) -> None:
        """Closes the connection."""
        self._task.cancel()
        await asyncio.wait([self._task])
