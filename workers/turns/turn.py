"""Runs turns: transcript, session, context, the model's stream, and its sentences spoken while it is still writing.

Nothing waits for what it does not need: each sentence is spoken as soon as its end is certain, and the memory is
refined when the reply is over.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from typing import Any

import msgspec

from conversations.lock import SessionLock, SessionTurn
from conversations.memory import context
from jobs import errors
from jobs.job import JobSpec
from jobs.model import ModelCall
from jobs.settings import Timeouts
from jobs.store.sessions import Draft
from prompts import audio
from prompts.registry import JobType, Registry, Rendered
from providers import errors as provider_errors
from providers.routing.router import Asked, Restart, Router
from providers.routing.target import Targets
from providers.service import Answer, Ask, Delta, Message, Text
from speech import utterance
from speech.registry import SpeechServices
from speech.service import AudioFormat, Recording, Transcript, Utterance
from speech.storage import AudioStorage
from workers.answering import OutputTruncated
from workers.asking import ask_of, images_named, question_of, recorder
from workers.images import Images
from workers.listener import Listener
from workers.narrator import Narrator
from workers.progress import Progress
from workers.recordings import RecordingReader
from workers.speaker import Speaker
from workers.turns import situation
from workers.turns.refinement import Refinements
from workers.turns.reply import Reply, continued
from workers.turns.stages import Stages
from workers.turns.voice_over import Manner, VoiceOver

CONTINUATIONS = 3
"""So often a reply that was heard in part is gone on with by another model, or the same one."""
_SOUND = ("format", "sample_rate", "voice", "rate")
"""What `speech` of an input says of each sentence."""
KEEP_S = 2.0
"""Seconds to write down what was said of a reply that failed."""


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a turn needs, shared by all turns of the process."""

    prompts: Registry
    router: Router
    targets: Targets
    timeouts: Timeouts
    speech: SpeechServices
    recordings: RecordingReader
    images: Images
    storage: AudioStorage
    lock: SessionLock
    refinements: Refinements


class Turns:
    """Runs jobs whose type has the runner `turn`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def run(self, spec: JobSpec, narrator: Narrator, progress: Progress) -> None:
        """Leaves transcript, reply and sentences in `progress`. Raises `errors.JobFailure`."""
        job_type = self._parts.prompts.get(spec.type)
        value = job_type.filled(progress.begin(spec, job_type))
        turn = _Turn(self._parts, spec, job_type, value, narrator, progress)
        turn.check()
        async with AsyncExitStack() as stack:
            hearing = await stack.enter_async_context(turn.hearing())
            session = None
            if spec.session_id is not None:
                if progress.claim is None:
                    raise ValueError("a turn in a session needs a claim")
                session = await stack.enter_async_context(self._parts.lock.held(progress.claim))
            heard = await hearing if hearing else None
            try:
                await turn.take(session, heard)
            finally:
                # Also after a turn that was broken off: of some conversations most are.
                if session is not None:
                    self._parts.refinements.begin(session.spec, spec.targets)


class _Turn:
    """One attempt at a turn."""

    def __init__(
        self,
        parts: Parts,
        spec: JobSpec,
        job_type: JobType,
        value: dict[str, Any],
        narrator: Narrator,
        progress: Progress,
    ) -> None:
        self._parts = parts
        self._spec = spec
        self._job_type = job_type
        self._value = value
        self._narrator = narrator
        self._progress = progress
        self._stages = Stages(progress.timings)

    def check(self) -> None:
        """Raises `errors.Unsupported` of `speech` if the request itself asks for a voice or sound that is not there.

        Otherwise that would show when a reply has been paid for.
        """
        asked: dict[str, Any] = self._value.get("speech") or {}
        if asked:
            service = self._parts.speech.text_to_speech()
            given = {name: asked[name] for name in _SOUND if asked.get(name) is not None}
            wanted = Utterance(text="", language=self._value.get("language") or "", **given)
            utterance.check(wanted, service.capabilities(), provider=service.name)

    @asynccontextmanager
    async def hearing(self) -> AsyncIterator[asyncio.Task[Transcript] | None]:
        """The recording being understood; `None` if there is none."""
        if audio.FIELD not in self._value:
            yield None
            return
        task = asyncio.create_task(self._hear())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _hear(self) -> Transcript:
        recording = Recording(
            audio=await self._parts.recordings.read(self._spec, self._value),
            language=self._value.get("language") or "",
        )
        service = self._parts.speech.listening_to(recording)
        heard = await Listener(service, self._narrator, self._record("speech-to-text")).hear(recording)
        self._stages.reached("transcript_s")
        return heard

    def _record(self, stage: str) -> Callable[[ModelCall], None]:
        return recorder(stage, self._narrator, self._progress)

    async def take(self, session: SessionTurn | None, heard: Transcript | None) -> None:
        """Answers what was said."""
        said: str = heard.text if heard else self._value["text"]
        told: dict[str, Any] = {"transcript": said} if heard else {}
        if not said.strip():
            self._progress.output = {**told, "text": "", "sentences": []}
            return
        language = situation.language(self._value, session.spec if session else None, heard, said)
        ask = await self._ask(session, said, language)
        async with AsyncExitStack() as stack:
            manner = self._manner(session, language)
            voice_over = await stack.enter_async_context(self._voice_over(manner)) if manner else None
            reply = Reply(language, self._narrator, voice_over, self._stages)
            try:
                answer = await self._answer(ask, reply)
                reply.end()
                if not reply.text.strip():
                    raise errors.OutputInvalid("The model's reply is empty.")
                if session:
                    await session.say(
                        Draft(role="assistant", text=reply.text, language=language, tokens=_tokens(answer))
                    )
                if voice_over:
                    await voice_over.finish()
            except BaseException as error:
                await self._keep(session, reply, language, error)
                self._progress.output = {**told, **_output(reply, voice_over)} if reply.text else None
                raise
            self._progress.output = {**told, **_output(reply, voice_over)}
            if answer.finish == "length":
                raise OutputTruncated

    async def _ask(self, session: SessionTurn | None, said: str, language: str) -> Ask:
        """What the model is asked, once what was said is written down."""
        spec = session.spec if session else None
        rendered = self._job_type.render({**self._value, **situation.fields(self._value, spec)})
        if session:
            message = await session.say(Draft(role="user", text=said, language=language))
            # An earlier attempt may have left something of this very turn.
            recent = tuple(message for message in session.recalled.recent if message.job_id != self._spec.id)
            recalled = msgspec.structs.replace(session.recalled, recent=recent)
            messages = context.of(recalled, [message]).messages
        else:
            messages = (Message(role="user", parts=(Text(said),)),)
        if rendered.messages:
            messages = (*messages[:-1], await self._shown(rendered, messages[-1]))
        return Ask(
            model="",
            system=rendered.system,
            messages=messages,
            settings=rendered.settings,
            task=self._spec.type,
            subject={"text": said},
        )

    async def _shown(self, rendered: Rendered, last: Message) -> Message:
        """What was said last, together with the images that were shown."""
        fetched = await self._parts.images.fetch(images_named(rendered))
        (shown,) = ask_of(rendered, fetched, task="", subject={}).messages
        return msgspec.structs.replace(last, parts=(*last.parts, *shown.parts))

    def _manner(self, session: SessionTurn | None, language: str) -> Manner | None:
        """How the reply is to be spoken; `None`: not at all."""
        asked: dict[str, Any] | None = self._value.get("speech")
        if asked is None:
            return None
        audio_format: AudioFormat = asked.get("format") or "mp3"
        rates = self._parts.speech.text_to_speech().capabilities().formats.get(audio_format, ())
        return Manner(
            format=audio_format,
            sample_rate=asked.get("sample_rate") or next(iter(rates), 0),
            language=language,
            voice=asked.get("voice") or (session.spec.voice if session else None) or "",
            rate=asked.get("rate") or 1.0,
            delivery=asked.get("delivery") or "inline",
        )

    def _voice_over(self, manner: Manner) -> VoiceOver:
        speaker = Speaker(self._parts.speech.text_to_speech(), self._record("synthesis"))
        return VoiceOver(
            speaker, manner, self._narrator, self._parts.storage, self._spec.id, heard=self._stages.sounded
        )

    async def _answer(self, ask: Ask, reply: Reply) -> Answer:
        """Has the reply written. What was heard of it stands if a model fails: the next one goes on from there."""
        targets, question, left = self._spec.targets, ask, CONTINUATIONS
        while True:
            target = await self._written(question, targets, reply, goes_on=left > 0)
            if isinstance(target, Answer):
                return target
            left -= 1
            targets = targets[targets.index(target) :]
            question = continued(ask, reply.spoken, prefill=self._prefill(targets))

    async def _written(self, ask: Ask, targets: tuple[str, ...], reply: Reply, *, goes_on: bool) -> Answer | str:
        """The answer; or, if `goes_on`, the target that is to go on with what was heard of one that broke off."""
        question = question_of(self._spec, ask, targets, self._parts.timeouts, self._progress)
        async with aclosing(self._parts.router.answer(question, self._record("answer"))) as items:
            async for item in items:
                match item:
                    case Delta(text):
                        reply.write(text)
                    case Restart(reason, target):
                        if reply.restart(reason, target) and goes_on:
                            return target
                    case Asked(target):
                        self._narrator.ask(target)
                    case Answer():
                        return item
        raise AssertionError("unreachable: the router ends with an Answer or raises")

    def _prefill(self, targets: tuple[str, ...]) -> bool:
        """Whether all of them can go on with a beginning; otherwise some would be passed over."""
        try:
            return all(self._parts.targets.get(target).can.prefill for target in targets)
        except provider_errors.ProviderError:
            return False

    async def _keep(self, session: SessionTurn | None, reply: Reply, language: str, error: BaseException) -> None:
        """Writes down what the user has heard of a reply that failed: that much was said."""
        if session is None or not reply.heard.strip():
            return
        late = asyncio.get_running_loop().time() >= self._progress.deadline
        stopped = errors.DeadlineExceeded.code if late else "cancelled"
        code = error.code if isinstance(error, errors.RingbackError) else stopped
        draft = Draft(role="assistant", text=reply.heard, language=language, extra={"incomplete": code})
        with suppress(errors.RingbackError, TimeoutError):
            async with asyncio.timeout(KEEP_S):
                await session.say(draft)


def _tokens(answer: Answer) -> int | None:
    """As the vendor counted what can be seen of the answer."""
    visible = answer.usage.output_tokens - answer.usage.reasoning_tokens
    return visible if visible > 0 else None


def _output(reply: Reply, voice_over: VoiceOver | None) -> dict[str, Any]:
    sentences: list[dict[str, Any]] = []
    for sentence in reply.sentences:
        if not sentence.text.strip():
            continue
        told: dict[str, Any] = {"index": sentence.index, "text": sentence.text}
        track = voice_over.track(sentence.index) if voice_over else None
        if track and track.audio:
            told["audio"] = track.audio
        if track and track.error:
            told["error"] = {"code": track.error.code, "message": track.error.message}
        sentences.append(told)
    return {"text": reply.text, "sentences": sentences}
