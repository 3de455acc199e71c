"""Listens for a job: a recording within time limits, tried again once, and counted; partial results are told."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import cast

import msgspec

from jobs import event
from jobs.model import ModelCall, Outcome, Usage
from speech import errors
from speech.service import Partial, Recording, Segment, SpeechToText, Transcript
from workers.narrator import Narrator
from workers.patience import next_of, pause_s

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
        try:
            heard = await self._once(recording)
        except errors.SpeechError as error:
            pause = pause_s(error)
            if pause is None:
                raise
            await asyncio.sleep(pause)
            heard = await self._once(recording)
        self._narrator.tell(event.make("transcript.final", text=heard.text, language=heard.language))
        return heard

    async def _once(self, recording: Recording) -> Transcript:
        loop = asyncio.get_running_loop()
        began = loop.time()
        heard: Transcript | None = None
        failure: errors.SpeechError | None = None
        first_s: float | None = None
        stream = cast("AsyncGenerator[_Item, None]", self._service.transcribe(recording))
        limit_s = self._limit_s(recording)
        told = _Told(self._narrator)
        try:
            async with aclosing(stream):
                while heard is None:
                    item = await next_of(stream, limit_s, what="result", provider=self._service.name)
                    if first_s is None:
                        first_s = loop.time() - began
                    if isinstance(item, Transcript):
                        heard = item
                    else:
                        told.item(item, loop.time())
            return heard
        except errors.SpeechError as error:
            failure = error
            raise
        finally:
            outcome: Outcome = "answered" if heard else "failed" if failure else "cancelled"
            seconds = heard.duration_s if heard else None
            self._record(
                ModelCall(
                    model=f"{self._service.name}/{(heard.language if heard else recording.language) or 'unknown'}",
                    outcome=outcome,
                    error=failure.code if failure else None,
                    usage=Usage(audio_s=round(seconds, 3) if seconds else msgspec.UNSET),
                    first_token_s=first_s,
                    duration_s=loop.time() - began,
                )
            )

    def _limit_s(self, recording: Recording) -> float | None:
        """How long it may be silent; `None`: it tells nothing before the end."""
        if not self._service.capabilities().live or not isinstance(recording.audio, bytes):
            return None
        return SILENCE_S + len(recording.audio) / _BYTES_A_SECOND


class _Told:
    """What was told of a recording so far."""

    def __init__(self, narrator: Narrator) -> None:
        self._narrator = narrator
        self._segment = 0
        self._last = 0.0

    def item(self, item: Partial | Segment, now: float) -> None:
        """Tells a partial result, unless one was just told; a segment that is understood for good, always."""
        final = isinstance(item, Segment)
        if not final and now - self._last < _TOLD_EVERY_S:
            return
        self._last = now
        stability = 1.0 if isinstance(item, Segment) else item.stability
        self._narrator.tell(
            event.make("transcript.partial", segment=self._segment, text=item.text, stability=stability),
            at_once=False,
        )
        self._segment += final
