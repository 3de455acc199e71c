"""A scripted model that takes notes as badly as any real one was seen to: deterministic, and without a network."""

import re
import zlib

from jobs.model import Usage
from providers.service import Answer, Ask, Text

_PART = re.compile(r"<m\w{8}-(?:notes|conversation)>\n(.*?)\n</m\w{8}-(?:notes|conversation)>", re.DOTALL)
_SENTENCE = re.compile(r"(?<=[.!?다요])\s+|\n+")
_NUMBER = re.compile(r"\d[\d.,:-]*")
_REPLIES_EVERY = 5
"""Every so many calls it answers the conversation's last message instead of taking notes;"""
_DROPS = 8
"""and else it drops one sentence in so many, each time that it sees it, and half of the numbers;"""
_AT_MOST = 40
"""what is left of sentences more than these, the oldest first, it drops too."""


class CarelessModel:
    """Drops most sentences, blurs numbers, invents facts, and sometimes replies instead."""

    def __init__(self) -> None:
        self.calls = 0
        self.seen: list[Ask] = []
        """What it was asked."""

    async def __call__(self, ask: Ask) -> Answer:
        """Notes, or what it takes for them."""
        self.calls += 1
        self.seen.append(ask)
        said = "".join(part.text for message in ask.messages for part in message.parts if isinstance(part, Text))
        return Answer(text=self._text(said), finish="stop", usage=Usage(), model="careless")

    def _text(self, said: str) -> str:
        if self.calls % _REPLIES_EVERY == 0:
            return "Sure! I would be glad to help with that."
        sentences = [line for part in _PART.findall(said) for line in _SENTENCE.split(part) if line.strip()]
        kept = [_blurred(sentence) for sentence in sentences if self._roll(sentence) % _DROPS]
        summary = " ".join(kept[-_AT_MOST:]) or "They talked."
        return f"<summary>\n{summary}\n</summary>\n<facts>\n- The user owns 999 cats.\n</facts>"

    def _roll(self, sentence: str) -> int:
        return zlib.crc32(f"{sentence}{self.calls}".encode())


def _blurred(sentence: str) -> str:
    return _NUMBER.sub("some", sentence) if zlib.crc32(sentence[::-1].encode()) % 2 else sentence
