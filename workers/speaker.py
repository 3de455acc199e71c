"""Speaks for a job: one utterance at a time or many at once, within time limits, tried again if need be, counted."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import cast

import msgspec

from jobs.model import ModelCall, Usage
from speech import errors
from speech.service import AudioPart, Mark, Spoken, TextToSpeech, Utterance
from workers.patience import Patience, next_of
from workers.speech_call import SpeechCall

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

    async def say(self, utterance: Utterance) -> AsyncGenerator[AudioPart | Mark | Again | Spoken, None]:
        """The audio as it comes and the marks if they are wanted, then exactly one `Spoken`.

        Raises a class of `speech.errors`.
        """
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

    async def _once(self, utterance: Utterance, patience: Patience) -> AsyncGenerator[AudioPart | Mark | Spoken, None]:
        synthesis = cast("AsyncGenerator[AudioPart | Mark | Spoken, None]", self.service.synthesize(utterance))
        target = self.service.target(utterance)
        whole = Usage(characters=len(utterance.text))  # is billed of a call that was broken off once its audio came
        with SpeechCall(target, self._record, broken_off=lambda _: whole) as call:
            ended: Spoken | None = None
            async with aclosing(synthesis):
                while ended is None:
                    limit_s = patience.left_s if call.first_s is None else STALL_S
                    item = await next_of(synthesis, limit_s, what="audio", provider=self.service.name)
                    if isinstance(item, Spoken):
                        ended = item
                        call.target = self.service.target(utterance)  # the engine asked first may have been refused
                        call.answered(Usage(characters=item.characters, audio_s=_rounded(item.duration_s)))
                    else:
                        call.answering()
                        yield item
            yield ended


def _rounded(seconds: float | None) -> float | msgspec.UnsetType:
    return round(seconds, 3) if seconds else msgspec.UNSET
