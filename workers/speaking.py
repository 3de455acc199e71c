"""Runs jobs that speak."""

import asyncio
from contextlib import aclosing
from typing import Any

import msgspec

from jobs.job import JobSpec
from jobs.model import ModelCall
from prompts.registry import Registry
from speech.registry import SpeechServices
from speech.service import AudioPart, Mark, Spoken, Utterance
from speech.storage import AudioStorage
from workers import sounds
from workers.narrator import Narrator
from workers.progress import Progress
from workers.sounds import Sound
from workers.speaker import Again, Speaker

_OPTIONS = (
    *("language", "voice", "engine", "format", "sample_rate"),
    *("rate", "volume_db", "pause_before_s", "pause_after_s", "marks"),
)
"""Input fields that are fields of an `Utterance` too."""
NAME = "speech"
"""Of the audio among those of its job."""


class Speaking:
    """Runs jobs whose type has the runner `speak`."""

    def __init__(self, prompts: Registry, speech: SpeechServices, storage: AudioStorage) -> None:
        """`storage` takes the audio that is delivered by URL."""
        self._prompts = prompts
        self._speech = speech
        self._storage = storage

    async def run(self, spec: JobSpec, narrator: Narrator, progress: Progress) -> None:
        """Leaves `{audio}` in `progress`. Raises `errors.JobFailure`."""
        job_type = self._prompts.get(spec.type)
        value = job_type.filled(progress.begin(spec, job_type))
        inline = value.get("delivery", "inline") == "inline"
        utterance = _utterance(value)
        sound = Sound(index=0, format=utterance.format, sample_rate=utterance.sample_rate)
        service = self._speech.text_to_speech()
        if not sound.sample_rate:
            sound.sample_rate = next(iter(service.capabilities().formats.get(sound.format, ())), 0)

        def record(call: ModelCall) -> None:
            narrator.usage("synthesis", progress.record(call))

        spoken: Spoken | None = None
        marks: list[Mark] = []
        async with aclosing(Speaker(service, record).say(utterance)) as items:
            async for item in items:
                match item:
                    case AudioPart(data) if inline:
                        narrator.tell(sound.part(data))
                    case AudioPart(data):
                        sound.gather(data)
                    case Mark():
                        marks.append(item)
                    case Again():
                        sound.restart()
                        marks.clear()
                    case Spoken():
                        spoken = item
        assert spoken is not None  # noqa: S101 - it ends with one, or raises
        narrator.ask(service.target(utterance))
        duration_s = await asyncio.to_thread(sounds.duration_s, sound, spoken)
        if inline:
            narrator.tell(sound.end())
            where = sound.inline
        else:
            where = {"url": await sound.kept(self._storage, spec.id, NAME)}
            narrator.tell(sound.link(where["url"]))
        marked = {"marks": msgspec.to_builtins(marks)} if utterance.marks else {}
        progress.output = {"audio": sounds.told(sound, spoken, duration_s) | marked | where}


def _utterance(value: dict[str, Any]) -> Utterance:
    given = {name: value[name] for name in _OPTIONS if value.get(name) is not None}
    ssml = value.get("ssml")
    return msgspec.convert({**given, "text": ssml or value["text"], "ssml": bool(ssml)}, Utterance, strict=False)
