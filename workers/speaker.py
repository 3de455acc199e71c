"""Speaks for a job: one utterance at a time or many at once, each within time limits, tried again once, and counted."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import cast

import msgspec

from jobs.model import ModelCall, Outcome, Usage
from speech import errors
from speech.service import AudioPart, Mark, Spoken, TextToSpeech, Utterance
from workers.patience import next_of, pause_s

FIRST_S = 20.0
"""Seconds until the first audio, the wait for the vendor's quota included,"""
STALL_S = 15.0
"""and until more of it."""


class Again(msgspec.Struct, frozen=True):
    """It failed and is tried again: the audio so far is void."""


class Speaker:
    """Speaks for one job."""

    def __init__(self, service: TextToSpeech, record: Callable[[ModelCall], None]) -> None:
        """`record` gets every call to the service as soon as it is over."""
        self.service = service
        self._record = record

    async def say(self, utterance: Utterance) -> AsyncGenerator[AudioPart | Again | Spoken, None]:
        """The audio as it comes, then exactly one `Spoken`. Raises a class of `speech.errors`."""
        try:
            async with aclosing(self._once(utterance)) as items:
                async for item in items:
                    yield item
            return
        except errors.SpeechError as error:
            pause = pause_s(error)
            if pause is None:
                raise
        yield Again()
        await asyncio.sleep(pause)
        async with aclosing(self._once(utterance)) as items:
            async for item in items:
                yield item

    async def _once(self, utterance: Utterance) -> AsyncGenerator[AudioPart | Spoken, None]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        first_s: float | None = None
        ended: Spoken | None = None
        failure: errors.SpeechError | None = None
        synthesis = cast("AsyncGenerator[AudioPart | Mark | Spoken, None]", self.service.synthesize(utterance))
        try:
            async with aclosing(synthesis):
                while ended is None:
                    limit_s = FIRST_S if first_s is None else STALL_S
                    item = await next_of(synthesis, limit_s, what="audio", provider=self.service.name)
                    if isinstance(item, Spoken):
                        ended = item
                    elif isinstance(item, AudioPart):
                        if first_s is None:
                            first_s = loop.time() - began
                        yield item
            yield ended
        except errors.SpeechError as error:
            failure = error
            raise
        finally:
            outcome: Outcome = "answered" if ended is not None else "failed" if failure else "cancelled"
            voice = ended.voice if ended is not None else utterance.voice or utterance.language or "default"
            self._record(
                ModelCall(
                    model=f"{self.service.name}/{voice}",
                    outcome=outcome,
                    error=failure.code if failure else None,
                    usage=_usage(ended, utterance, begun=first_s is not None),
                    estimated=ended is None and first_s is not None,
                    first_token_s=first_s,
                    duration_s=loop.time() - began,
                )
            )


def _usage(ended: Spoken | None, utterance: Utterance, *, begun: bool) -> Usage:
    """A call that was broken off once its audio came is billed as a whole."""
    if ended is not None:
        return Usage(characters=ended.characters, audio_s=_rounded(ended.duration_s))
    return Usage(characters=len(utterance.text)) if begun else Usage()


def _rounded(seconds: float | None) -> float | msgspec.UnsetType:
    return round(seconds, 3) if seconds else msgspec.UNSET
