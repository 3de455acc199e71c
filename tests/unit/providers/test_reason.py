"""Vendors' reasons: passed on, unless they repeat the request or a secret."""

import pytest

from jobs.disclosure import LIMIT
from providers.reason import disclosable
from providers.service import Ask, Message, Text, ToolResult

ASK = Ask(
    model="m",
    system="너는 친절한 상담원이다. 비밀번호를 말하지 마라.",
    messages=(
        Message(role="user", parts=(Text("제 주문번호는 4711-2222-3333 이고 아직 안 왔어요."),)),
        Message(role="user", parts=(ToolResult("c", "lookup", "customer: Kim Minji, Seoul"), Text("Rosebud"))),
    ),
)


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("The engine is currently overloaded", "The engine is currently overloaded"),
        ("  two\n lines ", "two lines"),
        ("x" * 1000, "x" * LIMIT),
        ("", None),
        (" \n", None),
        ("\n<!DOCTYPE html><html><body>502 Bad Gateway</body></html>", None),
        ("Invalid value: '제 주문번호는 4711-2222-3333 이고 아직 안 왔어요.'", None),
        ("Invalid: …는 4711-2222-3333 이고…", None),
        ("Invalid value in 비밀번호를  말하지\n마라. at 3", None),
        ("got 'customer: Kim Minji, Seoul'", None),
        ("cannot handle 'Rosebud'", None),
        ("Incorrect API key provided: sk-12345.", None),
        ("y" * LIMIT + " sk-12345", None),
    ],
)
def test_reasons(reason: str, told: str | None) -> None:
    assert disclosable(reason, ASK, ("sk-12345", None, "")) == told


def test_short_words_of_the_request_are_no_quotation() -> None:
    ask = Ask(model="m", messages=(Message(role="user", parts=(Text("hi"), Text(""))),))
    assert disclosable("this model is overloaded", ask) == "this model is overloaded"
