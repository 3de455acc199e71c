"""Speaks the sentences of a reply while it is being written: many at once, heard strictly in order."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import msgspec

from jobs.event import Event
from jobs.job import JobError
from speech import errors, spoken
from speech.service import AudioFormat, AudioPart, Spoken, Utterance
from speech.storage import AudioStorage
from speech.text import sayable
from speech.utterance import fitting
from workers import sounds
from workers.narrator import Narrator
from workers.sounds import AudioTooLong, Delivery, Sound
from workers.speaker import Again, Speaker
from workers.turns import situation

AT_ONCE = 4
"""Sentences that are being spoken at once; the vendor's quota is the service's to keep."""


class Manner(msgspec.Struct, frozen=True, kw_only=True):
    """How a reply is spoken."""

    format: AudioFormat
    sample_rate: int
    """In Hz."""
    language: str
    """Of the reply; a sentence in another script is spoken in its own."""
    voice: str
    """Empty, or where it does not speak the language: the language's default one."""
    rate: float
    delivery: Delivery


class Track:
    """The sound of one sentence, as it comes."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.begun = False
        """Some of it has been told."""
        self.audio: dict[str, Any] | None = None
        """Of the output, once it has all come."""
        self.error: JobError | None = None
        """Why there is none, or not all of it."""
        self._ready: list[Event] = []
        self._ended = False
        self._news = asyncio.Event()

    def add(self, event: Event) -> None:
        """More of it."""
        self._ready.append(event)
        self._news.set()

    def restart(self) -> None:
        """What was not told yet is void."""
        self._ready.clear()

    def end(self) -> None:
        """That was all."""
        self._ended = True
        self._news.set()

    async def next(self) -> list[Event]:
        """What has come since; empty at the end."""
        while not self._ready and not self._ended:
            self._news.clear()
            await self._news.wait()
        ready, self._ready = self._ready, []
        self.begun = self.begun or bool(ready)
        return ready


class VoiceOver:
    """The sound of one reply. Use as an async context manager; leaving it ends whatever is still being spoken."""

    def __init__(
        self,
        speaker: Speaker,
        manner: Manner,
        narrator: Narrator,
        storage: AudioStorage,
        job_id: str,
        heard: Callable[[], None],
    ) -> None:
        """`heard` is called whenever sound is told."""
        self._speaker = speaker
        self._manner = manner
        self._narrator = narrator
        self._storage = storage
        self._job_id = job_id
        self._heard = heard
        self._places = asyncio.Semaphore(AT_ONCE)
        self._tracks: dict[int, Track] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._added = asyncio.Event()
        self._complete = False
        self._bytes = 0
        self._deliverer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "VoiceOver":
        self._deliverer = asyncio.create_task(self._deliver())
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [*self._tasks.values(), *([self._deliverer] if self._deliverer else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def say(self, index: int, text: str) -> None:
        """Has a sentence spoken, after those with smaller indexes."""
        track = self._tracks[index] = Track(index)
        self._tasks[index] = asyncio.create_task(self._speak(track, text))
        self._added.set()

    def begun(self) -> int:
        """The index after the last sentence that has begun to be heard; 0: none has."""
        return max((index + 1 for index, track in self._tracks.items() if track.begun), default=0)

    def drop(self, from_index: int) -> None:
        """The sentences from that index on are void; none of them has begun."""
        for index in [index for index in self._tracks if index >= from_index]:
            self._tasks.pop(index).cancel()
            self._tracks.pop(index).end()

    def track(self, index: int) -> Track | None:
        """The sound of that sentence, if it has any."""
        return self._tracks.get(index)

    async def finish(self) -> None:
        """Waits until all of it is told; there are no more sentences. Raises `errors.JobFailure`."""
        self._complete = True
        self._added.set()
        assert self._deliverer is not None  # noqa: S101 - set on entry
        await self._deliverer
        await asyncio.gather(*self._tasks.values())

    async def _deliver(self) -> None:
        told = -1
        while True:
            following = min((index for index in self._tracks if index > told), default=None)
            if following is None:
                if self._complete:
                    return
                self._added.clear()
                await self._added.wait()
                continue
            track = self._tracks[following]
            while events := await track.next():
                for event in events:
                    self._narrator.tell(event)
                self._heard()
            if self._tracks.get(following) is track:  # it may have become void
                told = following

    async def _speak(self, track: Track, text: str) -> None:
        manner = self._manner
        sound = Sound(index=track.index, format=manner.format, sample_rate=manner.sample_rate)
        written = situation.written_in(text, manner.language)
        voice, language = fitting(manner.voice, written, self._speaker.service.capabilities())
        utterance = Utterance(
            text=spoken.spoken(text, language),
            language=language,
            voice=voice,
            format=manner.format,
            sample_rate=manner.sample_rate,
            rate=manner.rate,
            urgent=track.index == 0,
        )
        if not sayable(utterance.text):
            track.end()  # there is nothing to be heard, and nothing wrong
            return
        try:
            async with self._places:
                await self._synthesize(track, sound, utterance)
        except (errors.SpeechError, AudioTooLong) as error:
            track.error = JobError.of(error)
            track.add(sound.end(error=error.code))
        finally:
            track.end()

    async def _synthesize(self, track: Track, sound: Sound, utterance: Utterance) -> None:
        inline = self._manner.delivery == "inline"
        async with aclosing(self._speaker.say(utterance)) as items:
            async for item in items:
                match item:
                    case AudioPart(data):
                        self._count(len(data), inline=inline)
                        if inline:
                            track.add(sound.part(data))
                        else:
                            sound.gather(data)
                    case Again():
                        sound.restart()
                        track.restart()
                    case Spoken():
                        await self._ended(track, sound, item, inline=inline)

    def _count(self, size: int, *, inline: bool) -> None:
        self._bytes += size
        if inline and self._bytes > sounds.INLINE_LIMIT:
            raise AudioTooLong

    async def _ended(self, track: Track, sound: Sound, ended: Spoken, *, inline: bool) -> None:
        if inline:
            track.add(sound.end())
            where = sound.inline
        else:
            where = {"url": await sound.kept(self._storage, self._job_id, str(sound.index))}
            track.add(sound.link(where["url"]))
        track.end()
        duration_s = await asyncio.to_thread(sounds.duration_s, sound, ended)
        track.audio = sounds.told(sound, ended, duration_s) | where
