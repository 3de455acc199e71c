"""Speaks for a job: one utterance at a time or many at once, within time limits, tried again if need be, counted."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import cast

import msgspec

from jobs.model import ModelCall, Outcome, Usage
from speech import errors
from speech.service import AudioPart, Mark, Spoken, TextToSpeech, Utterance
from workers.patience import Patience, next_of

FIRST_S = 20.0
"""Seconds until the first audio, the wait for the vendor's quota and what it refuses meanwhile included,"""
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
        patience = Patience(FIRST_S)
        while True:
            try:
                async with aclosing(self._once(utterance, patience)) as items:
                    async for item in items:
                        yield item
                return
            except errors.SpeechError as error:
                pause = patience.pause_s(error)
                if pause is None:
                    raise
            yield Again()
            await asyncio.sleep(pause)

    async def _once(self, utterance: Utterance, patience: Patience) -> AsyncGenerator[AudioPart | Spoken, None]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        first_s: float | None = None
        ended: Spoken | None = None
        failure: errors.SpeechError | None = None
        synthesis = cast("AsyncGenerator[AudioPart | Mark | Spoken, None]", self.service.synthesize(utterance))
        try:
            async with aclosing(synthesis):
                while ended is None:
                    limit_s = patience.left_s if first_s is None else STALL_S
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
            self._record(
                ModelCall(
                    model=self.service.target(utterance),
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
