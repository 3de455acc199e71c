"""`FakeService`: answers, waits and fails as the model's name says; `providers.fake.script` has the words for it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Never

from jobs.model import Usage
from providers import profiles, text_only
from providers.fake import script
from providers.service import Answer, Ask, Capabilities, Delta, Text


class FakeService:
    """No model, no network: `fake/echo` repeats what it was told, `fake/x?text=Hi&first_ms=300` follows that script."""

    name = script.PROVIDER

    def __init__(self) -> None:
        self._calls: Counter[str] = Counter()

    def capabilities(self, model: str) -> Capabilities:
        """Text only, whatever the model."""
        return profiles.of(f"{self.name}/{model}")

    def region(self, model: str) -> str:
        """See `AIService`. A fake runs nowhere."""
        return ""

    async def generate(self, ask: Ask) -> Answer:
        """The whole answer, after the time that its stream takes."""
        async for item in self.stream(ask):
            if isinstance(item, Answer):
                return item
        raise AssertionError("a stream without error ends with its answer")

    async def stream(self, ask: Ask) -> AsyncIterator[Delta | Answer]:
        """Deltas and then the answer, as scripted.

        Raises `errors.BadRequest` for a script that cannot be followed, `errors.Unsupported` for images and tools,
        and whatever error the script names.
        """
        told = script.parse(ask.model)
        text_only.require(ask, self.name)
        call = self._calls[ask.model]
        if told.counts_calls:
            self._calls[ask.model] += 1

        text = told.answer(call, text_only.last_said(ask))
        pieces = told.pieces(text)
        fails_at = told.fails_at(call, len(pieces))
        for index, piece in enumerate(pieces):
            await _pause(told.first_ms if index == 0 else told.delta_ms)
            if index == fails_at:
                await _fail(told)
            yield Delta(piece)
        if fails_at == len(pieces):
            await _fail(told)
        yield Answer(text=text, finish=told.finish, usage=_usage(told, ask, text), model=ask.model)

    async def warm_up(self) -> None:
        """Has nothing to load."""

    async def aclose(self) -> None:
        """Holds nothing open."""


async def _pause(milliseconds: float) -> None:
    if milliseconds:
        await asyncio.sleep(milliseconds / 1000)


async def _fail(told: script.Script) -> Never:
    while told.error is None:
        await asyncio.Event().wait()
    raise told.error(f"fake failure: {told.fail}", provider=script.PROVIDER, retry_after=told.retry_after)


def _usage(told: script.Script, ask: Ask, text: str) -> Usage:
    asked = [ask.system or "", *(part.text for m in ask.messages for part in m.parts if isinstance(part, Text))]
    return Usage(
        input_tokens=sum(len(t.split()) for t in asked) if told.input_tokens is None else told.input_tokens,
        output_tokens=len(text.split()) if told.output_tokens is None else told.output_tokens,
        cached_tokens=told.cached_tokens,
        reasoning_tokens=told.reasoning_tokens,
    )
