"""A long conversation in English and Korean with facts planted in it, each known by a word that occurs nowhere else."""

from datetime import UTC, datetime, timedelta

import msgspec

from jobs import ids
from jobs.session import Message, Role

_BEGAN = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


class Planted(msgspec.Struct, frozen=True, kw_only=True):
    """A fact that the user tells once."""

    said: str
    probe: str
    """Whoever has it, knows the fact."""


FACTS = tuple(
    Planted(said=said, probe=probe)
    for said, probe in (
        ("By the way, my name is Haneul Kim.", "Haneul"),
        ("제 딸 이름은 서지우예요.", "서지우"),
        ("I'm allergic to cashews, please remember that.", "cashews"),
        ("저는 땅콩 알레르기가 있어요.", "땅콩"),
        ("My order number is QX-48213.", "48213"),
        ("주문번호는 20261103-771이에요.", "20261103-771"),
        ("My appointment is on March 14 at 15:40.", "15:40"),
        ("다음 상담은 2026. 12. 9. 오전 10시 반이에요.", "2026. 12. 9."),
        ("I promised my brother Tobias to call him on Sunday.", "Tobias"),
        ("엄마한테 일요일마다 전화하기로 약속했어요.", "일요일마다"),
        ("My rent is 1,275 euros a month.", "1,275"),
        ("월세는 83만 원이에요.", "83만"),
        ("You can reach me at haneul@example.org.", "haneul@example.org"),
        ("제 번호는 010-2953-7741이에요.", "7741"),
        ("I must hand the thesis in by Friday, the 27th.", "27th"),
        ("보고서는 12월 3일까지 내야 해요.", "12월 3일"),
        ("Please always call me Captain.", "Captain"),
        ("저를 하늘 님이라고 불러 주세요.", "하늘 님"),
        ("My flight is KE905 from Frankfurt.", "KE905"),
        ("열차는 KTX 137호예요.", "137호"),
    )
)
_TALK = (
    ("How do you like the weather today?", "It seems pleasant, doesn't it?"),
    ("오늘은 좀 피곤하네요.", "무리하지 말고 쉬엄쉬엄 하세요."),
    ("I have been reading a novel about the sea.", "That sounds like a calm read. What do you like about it?"),
    ("요즘 요리를 배우고 있어요.", "재미있겠네요. 어떤 요리가 제일 맛있었나요?"),
    ("Music helps me to concentrate.", "Many people feel like that, above all with quiet music."),
    ("산책하면 기분이 나아져요.", "맞아요, 가볍게 걷는 것만으로도 도움이 되죠."),
    ("Sometimes everything feels a bit too much.", "That is understandable. What weighs on you most?"),
    ("주말에는 친구를 만났어요.", "즐거운 시간이었겠어요."),
)


def conversation(turns: int) -> tuple[list[Message], dict[str, int]]:
    """Messages of so many turns, and for each fact's probe the index of the message in which it is told.

    Facts come at even distances, the last one well before the end. Ids and times are the same for every run.
    """
    messages: list[Message] = []
    told: dict[str, int] = {}
    every = max(1, turns // (len(FACTS) + 2))
    for turn in range(turns):
        question, reply = _TALK[turn % len(_TALK)]
        nth, rest = divmod(turn, every)
        if rest == 0 and nth < len(FACTS):
            told[FACTS[nth].probe] = len(messages)
            question = f"{question} {FACTS[nth].said}"
        for role, text in (("user", question), ("assistant", reply)):
            messages.append(_message(len(messages), role, text))  # type: ignore[arg-type]  # one of the two
    return messages, told


def _message(number: int, role: Role, text: str) -> Message:
    at = _BEGAN + timedelta(seconds=20 * number)
    id_ = f"{ids.floor('msg', int(at.timestamp() * 1000))}{'0' * 16}"
    return Message(id=id_, session_id="ses_recall", role=role, text=text, at=at)
