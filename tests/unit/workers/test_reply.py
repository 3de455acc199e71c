"""A reply as it is written: what stands when a model fails, and how the next one is asked to go on."""

import msgspec
import pytest

from jobs.event import Event
from providers.service import Ask, Message, Text
from workers.turns.reply import Reply, continued
from workers.turns.stages import Stages

ASK = Ask(model="", system="Be brief.", messages=(Message(role="user", parts=(Text("Hello?"),)),))


class Told:
    """Stands in for a narrator: events in their order, texts as they are."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def text(self, delta: str) -> None:
        self.log.append(delta)

    def tell(self, told: Event, *, at_once: bool = True) -> None:
        self.log.append(f"[{msgspec.json.decode(told.data)['text'].strip()}]")

    def restart(self, reason: str, target: str, from_index: int) -> None:
        self.log.append(f"<{reason} {target} {from_index}>")


class Mouth:
    """Stands in for a voice-over of which the test says how much was heard."""

    def __init__(self) -> None:
        self.said: dict[int, str] = {}
        self.heard = 0

    def say(self, index: int, text: str) -> None:
        self.said[index] = text

    def begun(self) -> int:
        return self.heard

    def drop(self, from_index: int) -> None:
        self.said = {index: text for index, text in self.said.items() if index < from_index}


@pytest.fixture
def mouth() -> Mouth:
    return Mouth()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
async def reply(told: Told, mouth: Mouth) -> Reply:
    return Reply("en", told, mouth, Stages({}))  # type: ignore[arg-type]  # stand-ins have what is used


async def test_sentences_are_told_behind_their_text(reply: Reply, told: Told, mouth: Mouth) -> None:
    for delta in ("It left ", "today. It ", "comes tomorrow."):
        reply.write(delta)
    reply.end()
    assert told.log == ["It left ", "today. It ", "[It left today.]", "comes tomorrow.", "[It comes tomorrow.]"]
    assert mouth.said == {0: "It left today.", 1: "It comes tomorrow."}
    assert "".join(sentence.text for sentence in reply.sentences) == reply.text == "It left today. It comes tomorrow."


async def test_what_was_heard_stands(reply: Reply, told: Told, mouth: Mouth) -> None:
    reply.write("One is said. Two is said. Three is n")
    mouth.heard = 1
    assert reply.heard == "One is said. "
    assert (
        reply.restart(
            "stalled",
            "fake/two",
        )
        == 1
    )
    assert told.log[-1] == "<stalled fake/two 1>"
    assert (reply.text, mouth.said) == ("One is said. ", {0: "One is said."})
    reply.write(" Now two. ")
    reply.write("And three.")
    reply.end()
    assert reply.text == "One is said. Now two. And three."
    assert [sentence.index for sentence in reply.sentences] == [0, 1, 2]
    assert mouth.said == {0: "One is said.", 1: "Now two.", 2: "And three."}


async def test_of_what_nobody_heard_nothing_stands(reply: Reply, told: Told, mouth: Mouth) -> None:
    reply.write("One is said. Two")
    assert reply.restart("stalled", "fake/two") == 0
    assert (reply.text, reply.sentences, mouth.said) == ("", [], {})


async def test_code_and_blank_lines_are_not_spoken(reply: Reply, mouth: Mouth) -> None:
    reply.write("Look:\n\n```\nx = 1\n```\n\nThat is it.\n\n")
    reply.end()
    assert "x = 1" not in "".join(mouth.said.values())
    assert "".join(sentence.text for sentence in reply.sentences) == reply.text


def test_the_next_model_goes_on() -> None:
    begun = continued(ASK, "One is said. ", prefill=True)
    assert begun.messages[-1] == Message(role="assistant", parts=(Text("One is said."),))
    assert begun.system == ASK.system
    informed = continued(ASK, "One is said. ", prefill=False)
    assert informed.messages == ASK.messages
    assert informed.system is not None
    assert informed.system.startswith("Be brief.\n\n")
    assert "\nOne is said.\n" in informed.system
