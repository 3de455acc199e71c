"""What the summary of a conversation is: notes by a model, facts that code keeps, and which messages both cover."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from jobs.session import MemorySettings, Message
from jobs.store.sessions import Recalled
from providers import tokens

Kind = Literal["name", "promise", "date", "number", "noted", "proper"]

PER_MESSAGE = 4
"""Tokens that a message takes besides its text."""


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """Something that must not be lost, in the words in which it was said."""

    text: str
    kind: Kind
    weight: int
    """The heavier stays longer when there are too many."""
    message_id: str
    """Where it was said."""


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a session remembers of the messages up to `last`."""

    text: str = ""
    facts: tuple[Fact, ...] = ()
    """In the order in which they were said."""
    first: str = ""
    """Id of the first message covered; empty: none is."""
    last: str = ""
    """And of the last one."""
    covered: int = 0
    """How many messages that is."""
    rough: int = 0
    """How many of them are in `text` only as excerpts, because the model gave no usable notes."""
    rebuilt: int = 0
    """How many it covered when `text` was last written anew from the history."""

    @property
    def worn(self) -> bool:
        """Whether its notes had better be written anew. With a model that never gives usable ones, ever more rarely."""
        return self.rough > 0 and self.covered >= 2 * self.rebuilt

    def covering(self, messages: Sequence[Message], *, rough: bool = False) -> "Summary":
        """This summary, which covers these messages too."""
        return msgspec.structs.replace(
            self,
            first=self.first or messages[0].id,
            last=messages[-1].id,
            covered=self.covered + len(messages),
            rough=self.rough + (len(messages) if rough else 0),
        )

    @property
    def missing_facts(self) -> tuple[Fact, ...]:
        """The facts that the model's notes do not hold word for word."""
        return tuple(fact for fact in self.facts if fact.text not in self.text)

    @property
    def rendered(self) -> str:
        """The notes, and every fact that they lack; empty if nothing is covered."""
        if not self.missing_facts:
            return self.text
        listed = "\n".join(f"- {fact.text}" for fact in self.missing_facts)
        facts = f"Facts, as they were said, the latest last (it holds if two differ):\n{listed}"
        return f"{self.text}\n\n{facts}" if self.text else facts


_summary = msgspec.json.Decoder(Summary)


def of(recalled: Recalled) -> Summary:
    """The summary that a session has."""
    return _summary.decode(recalled.memory) if recalled.memory else Summary()


def uncovered(recalled: Recalled, summary: Summary) -> list[Message]:
    """What was said and is not in the summary, oldest first, earlier sessions included."""
    earlier = list(recalled.earlier)
    if summary.last:
        position = next((n for n, message in enumerate(earlier) if message.id == summary.last), len(earlier) - 1)
        earlier = earlier[position + 1 :]
    return [*earlier, *recalled.recent]


def size(message: Message) -> int:
    """How many tokens a message takes: as its provider counted them, else an estimate."""
    return PER_MESSAGE + (tokens.estimate(message.text) if message.tokens is None else message.tokens)


def text_limit(settings: MemorySettings) -> int:
    """How many tokens the model's notes may have."""
    return max(150, settings.token_limit // 5)


def facts_limit(settings: MemorySettings) -> int:
    """How many tokens the pinned facts may have."""
    return max(300, settings.token_limit // 4)
