"""`PollySpeech`: SynthesizeSpeech."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import msgspec
import structlog

from amazon.calls import Calls
from jobs.permits import PermitStore
from jobs.routes import Quota, Target
from speech import errors
from speech.amazon.errors import translated
from speech.amazon.limiter import Limiter
from speech.audio.encoding import wav_head
from speech.polly import mapping, voices
from speech.polly.mapping import PROVIDER, Said
from speech.service import AudioPart, Mark, SpeakingCapabilities, Spoken, Utterance
from speech.utterance import Settled, settled

QUOTAS = {
    "standard": Quota(per_second=80, burst=100, concurrency=80),
    "neural": Quota(per_second=8, burst=10, concurrency=18),
    "long-form": Quota(per_second=8, burst=10, concurrency=26),
    "generative": Quota(per_second=8, burst=10, concurrency=26),
}
"""Of an account that asked for no more, by engine. Source: docs.aws.amazon.com/polly/latest/dg/limits.html"""
_CALLS = 128
"""At once from one process: far more than Amazon takes unless it was asked to."""
_PATH = "/v1/speech"
_CHARACTERS = "x-amzn-RequestCharacters"
_READ = 16_384
"""Bytes of a part at most; less if no more has come."""
_SAMPLE = 2
_log = structlog.get_logger(__name__)


class PollySpeech:
    """Polly, with the credentials, profile, region and endpoint that boto3 finds; `AWS_REGION` too."""

    name = PROVIDER

    def __init__(
        self,
        targets: Mapping[str, Target] | None = None,
        store: PermitStore | None = None,
        *,
        quotas: Mapping[str, Quota] = QUOTAS,
    ) -> None:
        """`targets` as in the settings, `store` and the documented `quotas` for the `Limiter` of each engine."""
        self._calls = Calls(PROVIDER, at_once=_CALLS)
        self._limiters = {
            engine: Limiter(f"{PROVIDER}/{engine}", quota, targets or {}, store) for engine, quota in quotas.items()
        }
        self._refused: set[tuple[str, str]] = set()
        """Voices with engines that Polly does not have for them here."""

    def capabilities(self) -> SpeakingCapabilities:
        """See `TextToSpeech`."""
        return voices.capabilities()

    def target(self, utterance: Utterance) -> str:
        """See `TextToSpeech`."""
        try:
            return f"{PROVIDER}/{self._settled(utterance).engine}"
        except errors.SpeechError:
            return f"{PROVIDER}/neural"

    async def synthesize(self, utterance: Utterance) -> AsyncGenerator[AudioPart | Mark | Spoken, None]:
        """See `TextToSpeech`. Marks come after the audio."""
        while True:
            how = self._settled(utterance)
            try:
                async with aclosing(self._synthesized(utterance, how)) as items:
                    async for item in items:
                        yield item
                return
            except errors.BadRequest as error:
                if not self._goes_on_without(how, utterance, error):
                    raise

    async def _synthesized(self, utterance: Utterance, how: Settled) -> AsyncGenerator[AudioPart | Mark | Spoken, None]:
        some = tuple(mapping.requested(utterance))
        if utterance.marks and len(some) > 1:
            raise errors.Unsupported(f"marks: only for text of up to {mapping.BILLED:,} characters", provider=PROVIDER)
        limiter = self._limiters[how.engine]
        characters = size = 0
        head = wav_head(how.sample_rate) if utterance.format == "wav" else b""
        for number, said in enumerate(some):
            arguments = mapping.arguments(said, utterance, how)
            async with (
                limiter.turn(urgent=utterance.urgent),
                aclosing(self._spoken(arguments, said)) as parts,
            ):
                async for part in parts:
                    if isinstance(part, int):
                        characters += part
                    else:
                        size += len(part)
                        yield AudioPart(head + part, number)
                        head = b""
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
            duration_s=size / _SAMPLE / how.sample_rate if utterance.format in ("pcm", "wav") else None,
        )

    def _settled(self, utterance: Utterance) -> Settled:
        """With the first of the voice's engines that was not refused, unless one is asked for."""
        how = settled(utterance, voices.capabilities(), voices.defaults(), provider=PROVIDER)
        if utterance.engine:
            return how
        left = (engine for engine in how.voice.engines if (how.voice.name, engine) not in self._refused)
        return msgspec.structs.replace(how, engine=next(left, how.engine))

    def _goes_on_without(self, how: Settled, utterance: Utterance, error: errors.BadRequest) -> bool:
        """Whether the voice has another engine, if that is what Polly refuses: not every region has all of them.

        It says so as EngineNotSupportedException or as ValidationException, and with the word.
        """
        name, engines = how.voice.name, how.voice.engines
        others = any(engine != how.engine and (name, engine) not in self._refused for engine in engines)
        if utterance.engine or not others or "engine" not in error.detail.lower():
            return False
        self._refused.add((name, how.engine))
        _log.warning("polly.engine_refused", voice=name, engine=how.engine, reason=error.detail)
        return True

    async def warm_up(self) -> None:
        """See `TextToSpeech`."""
        with translated(PROVIDER):
            await self._calls.warm_up()

    async def aclose(self) -> None:
        """See `TextToSpeech`."""
        await self._calls.aclose()

    async def _spoken(self, arguments: Mapping[str, Any], said: Said) -> AsyncGenerator[bytes | int, None]:
        """The audio of one request, and first how many characters it costs."""
        with translated(PROVIDER, said.text):
            async with self._calls.post(_PATH, msgspec.json.encode(arguments), texts=(said.text,)) as reply:
                yield int(reply.header(_CHARACTERS) or len(said.text))
                empty = True
                while data := await reply.some(_READ):
                    empty = False
                    yield data
        if empty:
            raise errors.MalformedAnswer("Polly sent no audio", provider=PROVIDER)

    async def _marks(self, said: Said, how: Settled) -> tuple[int, bytes]:
        """How many characters they cost, and the marks, each a line of JSON."""
        characters, lines = 0, b""
        async with (
            self._limiters[how.engine].turn(),
            aclosing(self._spoken(mapping.mark_arguments(said, how), said)) as parts,
        ):
            async for part in parts:
                if isinstance(part, int):
                    characters = part
                else:
                    lines += part
        return characters, lines
