"""`PollySpeech`: SynthesizeSpeech through boto3."""

from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, closing
from typing import Any, cast

from amazon.clients import Clients
from speech import errors
from speech.amazon.errors import translated
from speech.amazon.limiter import Limiter, ProcessLimiter, Quota
from speech.polly import mapping, voices
from speech.polly.mapping import PROVIDER, Said
from speech.service import AudioPart, Mark, SpeakingCapabilities, Spoken, Utterance
from speech.utterance import Settled, settled

QUOTA = Quota(per_second=8, burst=10, concurrent=18)
"""Of the neural engine. Source: docs.aws.amazon.com/polly/latest/dg/limits.html"""
_READ = 2048
"""Bytes of a part: a third of a second of mp3."""
_SAMPLE = 2


class PollySpeech:
    """Polly, with the credentials, profile, region and endpoint that boto3 finds; `AWS_REGION` too."""

    name = PROVIDER

    def __init__(self, limiter: Limiter | None = None) -> None:
        """`limiter` keeps to the quota; without one, this process may use all of it."""
        self._amazon = Clients(calls=QUOTA.concurrent)
        self._limiter = limiter if limiter is not None else ProcessLimiter(QUOTA)

    def capabilities(self) -> SpeakingCapabilities:
        """See `TextToSpeech`."""
        return voices.capabilities()

    async def synthesize(self, utterance: Utterance) -> AsyncGenerator[AudioPart | Mark | Spoken, None]:
        """See `TextToSpeech`. Marks come after the audio."""
        how = settled(utterance, voices.capabilities(), voices.defaults(), provider=PROVIDER)
        some = tuple(mapping.requested(utterance))
        if utterance.marks and len(some) > 1:
            raise errors.Unsupported(f"marks: only for text of up to {mapping.BILLED:,} characters", provider=PROVIDER)
        characters = size = 0
        for number, said in enumerate(some):
            arguments = mapping.arguments(said, utterance, how)
            async with self._limiter.turn(), aclosing(self._spoken(arguments, said)) as parts:
                async for part in parts:
                    if isinstance(part, int):
                        characters += part
                    else:
                        size += len(part)
                        yield AudioPart(part, number)
        if utterance.marks:
            billed, lines = await self._marks(some[0], how)
            characters += billed
            for mark in mapping.marks(some[0], lines):
                yield mark
        yield Spoken(
            voice=how.voice.name,
            engine=how.engine,
            language=how.language,
            format=utterance.format,
            sample_rate=how.sample_rate,
            characters=characters,
            requests=len(some) + utterance.marks,
            duration_s=size / _SAMPLE / how.sample_rate if utterance.format == "pcm" else None,
        )

    async def warm_up(self) -> None:
        """See `TextToSpeech`."""

        def work() -> None:
            with translated(PROVIDER):
                self._amazon.client(PROVIDER)

        await self._amazon.run(work)

    async def aclose(self) -> None:
        """See `TextToSpeech`."""
        await self._amazon.aclose()

    def _spoken(self, arguments: dict[str, Any], said: Said) -> AsyncGenerator[bytes | int, None]:
        """The audio of one request, and first how many characters it costs."""

        def work() -> Generator[bytes | int, None, None]:
            with translated(PROVIDER, said.text):
                response = self._amazon.client(PROVIDER).synthesize_speech(**arguments)
                with closing(response["AudioStream"]) as audio:
                    yield response["RequestCharacters"]
                    empty = True
                    while data := audio.read(_READ):
                        empty = False
                        yield data
            if empty:
                raise errors.MalformedAnswer("Polly sent no audio", provider=PROVIDER)

        return cast("AsyncGenerator[bytes | int, None]", self._amazon.iterate(work))

    async def _marks(self, said: Said, how: Settled) -> tuple[int, bytes]:
        """How many characters they cost, and the marks, each a line of JSON."""

        def work() -> tuple[int, bytes]:
            with translated(PROVIDER, said.text):
                response = self._amazon.client(PROVIDER).synthesize_speech(**mapping.mark_arguments(said, how))
                with closing(response["AudioStream"]) as lines:
                    return response["RequestCharacters"], lines.read()

        async with self._limiter.turn():
            return await self._amazon.run(work)
