"""A reply as it is written: text on its way to the caller, cut into sentences; and what stands when a model fails."""

import msgspec

from jobs import event
from providers.service import Ask, Message, Text
from speech.segmentation import Segment, Segmenter
from workers.narrator import Narrator
from workers.turns.stages import Stages
from workers.turns.voice_over import VoiceOver

_GO_ON = (
    "You have already begun your reply to the last message; this much of it was spoken aloud:\n{spoken}\n"
    "Go on right after that. Repeat nothing of it, and do not comment on the interruption."
)


class Sentence(msgspec.Struct, frozen=True):
    """A sentence of the reply, or its first clause."""

    index: int
    text: str
    """With the whitespace after it."""


class Reply:
    """The reply of one turn."""

    def __init__(self, language: str, narrator: Narrator, voice_over: VoiceOver | None, stages: Stages) -> None:
        """`voice_over` speaks it; `None`: nobody does."""
        self.sentences: list[Sentence] = []
        self._language = language
        self._narrator = narrator
        self._voice_over = voice_over
        self._stages = stages
        self._stands = 0
        """So many sentences stand, whatever fails."""
        self._written = ""
        """What was written after those."""
        self._segmenter = Segmenter(language, clause_first=voice_over is not None)

    @property
    def text(self) -> str:
        """All of it."""
        return self.spoken + self._written

    @property
    def spoken(self) -> str:
        """The text of the sentences that stand."""
        return "".join(sentence.text for sentence in self.sentences[: self._stands])

    @property
    def heard(self) -> str:
        """What has reached the user: what was spoken aloud or, of a reply that is only read, all of it."""
        if self._voice_over is None:
            return self.text
        return "".join(sentence.text for sentence in self.sentences if sentence.index < self._voice_over.begun())

    def write(self, delta: str) -> None:
        """More text."""
        self._stages.reached("first_token_s")
        if self._stands and not self._written and self.spoken[-1:].isspace():
            delta = delta.lstrip()  # the model goes on behind a space of ours
        if not delta:
            return
        self._written += delta
        segments = self._segmenter.feed(delta)
        self._say(segments)  # first, so that it goes out before what is told of it
        self._narrator.text(delta)
        self._tell(segments)

    def end(self) -> None:
        """That was all of the text."""
        segments = self._segmenter.end()
        self._say(segments)
        self._tell(segments)

    def restart(self, reason: str, target: str) -> int:
        """The model failed, and `target` starts again: how many sentences stand, for they have been heard."""
        self._stands = self._voice_over.begun() if self._voice_over else 0
        if self._voice_over:
            self._voice_over.drop(self._stands)
        del self.sentences[self._stands :]
        self._written = ""
        self._segmenter = Segmenter(
            self._language, clause_first=self._voice_over is not None and not self._stands, first=self._stands
        )
        self._narrator.restart(reason, target, self._stands)
        return self._stands

    def _say(self, segments: list[Segment]) -> None:
        for segment in segments:
            if self._voice_over and segment.spoken:
                self._voice_over.say(segment.index, segment.spoken)

    def _tell(self, segments: list[Segment]) -> None:
        for segment in segments:
            # Every segment has an index; one of nothing but whitespace is part of the text, but no sentence to tell.
            self.sentences.append(Sentence(segment.index, segment.text))
            if segment.text.strip():
                self._stages.reached("first_sentence_s")
                self._narrator.tell(event.make("sentence", index=segment.index, text=segment.text))


def continued(ask: Ask, spoken: str, *, prefill: bool) -> Ask:
    """The question for a model that shall go on with a reply of which this much was `spoken`.

    `prefill`: it can take the beginning of its answer as such; others are told.
    """
    if prefill:
        beginning = Message(role="assistant", parts=(Text(spoken.rstrip()),))
        return msgspec.structs.replace(ask, messages=(*ask.messages, beginning))
    told = _GO_ON.format(spoken=spoken.strip())
    return msgspec.structs.replace(ask, system=f"{ask.system}\n\n{told}" if ask.system else told)
