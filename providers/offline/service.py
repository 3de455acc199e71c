"""`OfflineService`: summaries, softening and sorted inquiries by rules, and a plain reply to anything else."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import jsonschema_rs
import msgspec

from jobs.model import Usage
from providers import errors, profiles, text_only
from providers.offline import inquiry, language, softening, summary
from providers.offline.reply import reply
from providers.service import Answer, Ask, Capabilities, Delta, Text

PROVIDER = "offline"
MODEL = "rules"
_LARGE = 4_000
"""Characters from which on the work is done in a thread, so that others on the event loop do not wait for it."""
_COLD = 20
"""Answers at first that are made in a thread, whatever their length."""
_DELTAS = 400
"""About how many deltas a long answer comes in; a short one comes word by word."""


class OfflineService:
    """Needs no key and no network. Its one model, `offline/rules`, is no language model and says so.

    It does `summarize` for any language, `soften` and `inquiry` for Korean and English, told by `Ask.task` and
    `Ask.subject`; whatever else it is asked it answers with a plain reply to the last user message. Settings such as
    temperature or `max_tokens` have no meaning for it.
    """

    name = PROVIDER

    def __init__(self) -> None:
        self._answers = 0

    def capabilities(self, model: str) -> Capabilities:
        """Text only."""
        return profiles.of(f"{PROVIDER}/{model}")

    def region(self, model: str) -> str:
        """See `AIService`. It runs here."""
        return ""

    async def generate(self, ask: Ask) -> Answer:
        """The whole answer.

        Raises `errors.ModelNotFound` for any model but `rules`, and `errors.Unsupported` for what rules cannot do:
        images, tools, translation, and JSON in any other shape than that of an inquiry.
        """
        if ask.model != MODEL:
            detail = f"There is no offline/{ask.model}, only offline/{MODEL}"
            raise errors.ModelNotFound(detail, provider=PROVIDER)
        text_only.require(ask, PROVIDER)
        asked = [ask.system or "", *(p.text for m in ask.messages for p in m.parts if isinstance(p, Text))]
        # The first answers compile patterns as they come to need them: no work for the event loop either.
        self._answers += 1
        aside = self._answers <= _COLD or sum(map(len, asked)) > _LARGE
        text = await asyncio.to_thread(_answer, ask) if aside else _answer(ask)
        usage = Usage(input_tokens=sum(map(tokens, asked)), output_tokens=tokens(text))
        return Answer(text=text, finish="stop", usage=usage, model=MODEL)

    async def stream(self, ask: Ask) -> AsyncIterator[Delta | Answer]:
        """The same answer, word by word."""
        answer = await self.generate(ask)
        words = re.findall(r"\s*\S+\s*", answer.text)
        at_once = max(1, len(words) // _DELTAS)
        for start in range(0, len(words), at_once):
            yield Delta("".join(words[start : start + at_once]))
        yield answer

    async def warm_up(self) -> None:
        """Has nothing to load."""

    async def aclose(self) -> None:
        """Holds nothing open."""


def tokens(text: str) -> int:
    """About as many tokens as a language model would count: one for every four bytes of UTF-8.

    That is the usual four letters in English, and three quarters of a token for a Korean syllable.
    """
    return (len(text.encode()) + 3) // 4


def _answer(ask: Ask) -> str:
    text = ask.subject.get("text")
    if isinstance(text, str):
        match ask.task, ask.output_schema:
            case "summarize", None:
                return _summary(text, ask.subject)
            case "soften", None:
                return softening.soften(text).text
            case "inquiry", dict() as schema:
                return _inquiry(text, schema)
    if ask.output_schema is not None:
        raise _unsupported(
            "it is no language model and cannot fill in a JSON schema; of the built-in job types only `inquiry` gives "
            "JSON with it"
        )
    return reply(text_only.last_said(ask))


def _summary(text: str, subject: dict[str, Any]) -> str:
    wanted, there = subject.get("language"), language.detect(text)
    if wanted not in (None, there) and (there != "en" or wanted in language.BY_SCRIPT):
        raise _unsupported(f"it cannot translate into {wanted!r}")
    return summary.summarize(
        text, max_sentences=subject.get("max_sentences"), bullets=subject.get("style") == "bullets"
    )


def _inquiry(text: str, schema: dict[str, Any]) -> str:
    softened = softening.soften(text)
    made = {
        "summary": summary.summarize(softened.text, max_sentences=3),
        "softened": softened.text,
        "sentiment": inquiry.sentiment(text, heat=softened.heat),
        "category": inquiry.category(text),
    }
    if not jsonschema_rs.is_valid(schema, made):
        raise _unsupported("it makes an inquiry's summary, softened, sentiment and category, which this schema refuses")
    return msgspec.json.encode(made).decode()


def _unsupported(why: str) -> errors.Unsupported:
    return errors.Unsupported(f"offline/{MODEL} cannot do this: {why}. Use another provider.", provider=PROVIDER)
