"""The offline service: what it takes, what it refuses, and that it keeps nobody waiting."""

import asyncio
import json
import time
from typing import Any

import pytest

from jobs.model import Usage
from prompts import registry
from providers import errors
from providers.offline.service import OfflineService, tokens
from providers.service import Ask, Image, Message, Text, Tool
from tests.unit.providers.asks import ask, collect

ANGRY = "야 이 씨발놈들아 주문번호 20261103-0042 언제 보내줄 거야? 당장 환불해!!! kim@example.com"
NASTY = [
    "a",
    "가",
    "!",
    '"',
    "“",
    " ",
    "1,",
    "a@",
    "a.",
    "ㅋ ",
    "씨발 ",
    "fuck ",
    "you ",
    "so ",
    "당장 ",
    "거야 ",
    "#1 ",
    "\U000f0000",
]


def task(name: str, **subject: Any) -> Ask:
    """As the worker asks for a job of a built-in type."""
    job_type = registry.load().get(name)
    job_type.validate(subject)
    rendered = job_type.render(subject)
    return Ask(
        model="rules",
        system=rendered.system,
        messages=tuple(Message(role=turn.role, parts=(Text(turn.text),)) for turn in rendered.messages),
        settings=rendered.settings,
        output_schema=rendered.reply_schema,
        task=name,
        subject=subject,
    )


async def test_softens() -> None:
    answer = await OfflineService().generate(task("soften", text=ANGRY))
    assert answer.text == "주문번호 20261103-0042 언제 보내줄 건가요? 빠른 환불 부탁드립니다. kim@example.com"
    assert (answer.model, answer.finish) == ("rules", "stop")


async def test_summarizes() -> None:
    text = "Hi! The kettle broke on day 3. It is raining. The kettle's lid is cracked too. Please send a new kettle."
    service = OfflineService()
    assert (await service.generate(task("summarize", text=text, max_sentences=1))).text == "Please send a new kettle."
    listed = (await service.generate(task("summarize", text=text, style="bullets", max_sentences=2))).text
    assert [line[:2] for line in listed.splitlines()] == ["- ", "- "]
    assert (await service.generate(task("summarize", text=text, language="en"))).text
    assert (await service.generate(task("summarize", text="Die Lieferung fehlt.", language="de"))).text


@pytest.mark.parametrize(("text", "language"), [("배송이 늦어요", "en"), ("It is late", "ko"), ("遅い。", "zh")])
async def test_does_not_pretend_to_translate(text: str, language: str) -> None:
    with pytest.raises(errors.Unsupported, match="translate"):
        await OfflineService().generate(task("summarize", text=text, language=language))


@pytest.mark.parametrize("text", [ANGRY, "Where the hell is my parcel?! Order 4471.", "荷物が届きません。"])
async def test_sorts_inquiries_as_their_job_type_wants(text: str) -> None:
    asked = task("inquiry", text=text)
    answer = await OfflineService().generate(asked)
    output = registry.load().get("inquiry").parse(answer.text, asked.subject)
    assert set(output) == {"summary", "softened", "sentiment", "category"}
    assert output["sentiment"] == ("negative" if text[0] != "荷" else "neutral")


async def test_inquiry_in_another_shape_is_unsupported() -> None:
    schema = {"type": "object", "properties": {"mood": {"type": "string"}}, "required": ["mood"]}
    with pytest.raises(errors.Unsupported, match="schema refuses"):
        await OfflineService().generate(ask("rules", task="inquiry", subject={"text": "hi"}, output_schema=schema))


async def test_data_for_any_other_task_is_unsupported() -> None:
    for name, subject in (("generate", {"prompt": "hi"}), ("soften", {"text": "hi"}), ("extract", {"text": "hi"})):
        with pytest.raises(errors.Unsupported, match="no language model"):
            await OfflineService().generate(
                ask("rules", "hi", task=name, subject=subject, output_schema={"type": "object"})
            )


@pytest.mark.parametrize(
    ("said", "parts"),
    [
        ("안녕하세요!", ["안녕하세요!", "Ringback의 오프라인 모델", "추론하거나"]),
        ("대한민국의 수도는 어디인가요?", ["“대한민국의 수도는 어디인가요?”", "질문", "오프라인 모델"]),
        ("주문이 안 왔어요. 주문번호는 77입니다. 주문 확인 부탁드려요.", ["“주문 확인 부탁드려요.”", "오프라인 모델"]),
        ("고마워요", ["천만에요", "오프라인 모델"]),
        ("hello there", ["Hello!", "offline model", "neither reasons nor knows"]),
        ("What is the capital of Korea?", ["“What is the capital of Korea?”", "You asked", "offline model"]),
        ("thanks!", ["You are welcome", "offline model"]),
        ("首都はどこですか", ["「首都はどこですか」", "オフラインモデル"]),
        ("首都在哪里？", ["“首都在哪里？”", "离线模型"]),
        ("x " * 500, ["…”"]),
    ],
)
async def test_replies_plainly_and_says_what_it_is(said: str, parts: list[str]) -> None:
    answer = await OfflineService().generate(ask("rules", said, task="generate", subject={"prompt": said}))
    for part in parts:
        assert part in answer.text


async def test_only_rules_exists() -> None:
    with pytest.raises(errors.ModelNotFound, match="offline/rules"):
        await OfflineService().generate(ask("gpt", "hi"))
    with pytest.raises(errors.ModelNotFound, match="offline/rules"):
        await anext(OfflineService().stream(ask("", "hi")))


async def test_images_and_tools_are_unsupported() -> None:
    service = OfflineService()
    image = Message(role="user", parts=(Image("image/png", b"png"),))
    with pytest.raises(errors.Unsupported, match="images"):
        await service.generate(Ask(model="rules", messages=(image,)))
    with pytest.raises(errors.Unsupported, match="tools"):
        await service.generate(ask("rules", "hi", tools=(Tool(name="f", description="", parameters={}),)))


async def test_streams_words() -> None:
    service = OfflineService()
    deltas, answer = await collect(service, task("soften", text=ANGRY))
    assert deltas[:3] == ["주문번호 ", "20261103-0042 ", "언제 "]
    assert answer == await service.generate(task("soften", text=ANGRY))
    deltas, _ = await collect(service, task("soften", text="word " * 20_000))
    assert 100 < len(deltas) < 1_000


async def test_counts_tokens() -> None:
    answer = await OfflineService().generate(ask("rules", "abcdefgh", system="abcd"))
    assert answer.usage == Usage(input_tokens=3, output_tokens=tokens(answer.text))
    assert (tokens(""), tokens("a"), tokens("환불해 주세요")) == (0, 1, 5)


async def test_long_texts_do_not_block_the_loop() -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.001)
            ticks += 1

    ticking = asyncio.create_task(tick())
    answer = await OfflineService().generate(task("inquiry", text=(ANGRY + " ") * 2_000))
    ticking.cancel()
    assert ticks > 20
    assert json.loads(answer.text)["softened"].count("20261103-0042") == 2_000


@pytest.mark.parametrize("unit", NASTY)
async def test_nasty_texts_take_no_more_than_their_length(unit: str) -> None:
    """None backtracks out of bounds: that would take minutes, not the seconds of a slow machine."""
    text = unit * (60_000 // len(unit)) + "x"
    begun = time.process_time()
    await OfflineService().generate(ask("rules", "", task="soften", subject={"text": text}))
    await OfflineService().generate(ask("rules", "", task="summarize", subject={"text": text}))
    assert time.process_time() - begun < 30
