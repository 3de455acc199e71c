"""Listens for a job: a recording within time limits, tried again if need be, counted; partial results are told."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import cast

import msgspec

from jobs import event
from jobs.model import ModelCall, Usage
from speech import errors
from speech.service import Partial, Recording, Segment, SpeechToText, Transcript
from workers.narrator import Narrator
from workers.patience import Patience, next_of
from workers.speech_call import SpeechCall

SILENCE_S = 20.0
"""Seconds without any result, from services that tell of them as they come; and"""
_BYTES_A_SECOND = 40_000
"""more, by the length of the recording: it takes a while to be sent, and long stretches of it may be silent."""
_TOLD_EVERY_S = 0.1
"""Partial results replace each other: more often nobody needs to see them."""
_Item = Partial | Segment | Transcript


class Listener:
    """Listens for one job."""

    def __init__(self, service: SpeechToText, narrator: Narrator, record: Callable[[ModelCall], None]) -> None:
        """`record` gets every call to the service as soon as it is over."""
        self._service = service
        self._narrator = narrator
        self._record = record

    async def hear(self, recording: Recording) -> Transcript:
        """What is said in the recording, told as `transcript.partial` and `transcript.final`.

        Raises a class of `speech.errors`.
        """
        patience = Patience(self._limit_s(recording))
        heard: Transcript | None = None
        while heard is None:
            try:
                heard = await self._once(recording, patience)
            except errors.SpeechError as error:
                pause = patience.pause_s(error)
                if pause is None:
                    raise
                await asyncio.sleep(pause)
        self._narrator.tell(event.make("transcript.final", text=heard.text, language=heard.language))
        return heard

    async def _once(self, recording: Recording, patience: Patience) -> Transcript:
        stream = cast("AsyncGenerator[_Item, None]", self._service.transcribe(recording))
        limit_s = self._limit_s(recording)
        told = _Told(self._narrator)
        said_s = 0.0

        def broken_off(took_s: float) -> Usage:
            # What it had come to is billed, or as long as it took.
            return _usage(max(said_s, took_s))

        with SpeechCall(self._service.target, self._record, broken_off=broken_off) as call:
            async with aclosing(stream):
                while True:
                    wait_s = patience.left_s if call.first_s is None else limit_s
                    item = await next_of(stream, wait_s, what="result", provider=self._service.name)
                    call.answering()
                    if isinstance(item, Transcript):
                        call.answered(_usage(item.duration_s if item.requests else 0.0))
                        return item
                    said_s = item.end_s if isinstance(item, Segment) else said_s
                    told.item(item)

    def _limit_s(self, recording: Recording) -> float | None:
        """How long it may be silent; `None`: it tells nothing before the end."""
        if not self._service.capabilities().live or not isinstance(recording.audio, bytes):
            return None
        return SILENCE_S + len(recording.audio) / _BYTES_A_SECOND


def _usage(seconds: float | None) -> Usage:
    return Usage(audio_s=round(seconds, 3) if seconds else msgspec.UNSET)


class _Told:
    """What was told of a recording so far."""

    def __init__(self, narrator: Narrator) -> None:
        self._narrator = narrator
        self._clock = asyncio.get_running_loop().time
        self._segment = 0
        self._last = 0.0

    def item(self, item: Partial | Segment) -> None:
        """Tells a partial result, unless one was just told; a segment that is understood for good, always."""
        final, now = isinstance(item, Segment), self._clock()
        if not final and now - self._last < _TOLD_EVERY_S:
            return
        self._last = now
        stability = 1.0 if isinstance(item, Segment) else item.stability
        self._narrator.tell(
            event.make("transcript.partial", segment=self._segment, text=item.text, stability=stability),
            at_once=False,
        )
        self._segment += final
