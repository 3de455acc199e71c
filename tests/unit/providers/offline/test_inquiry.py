"""What inquiries are about, and in what mood."""

import pytest

from providers.offline.heat import Heat
from providers.offline.inquiry import category, sentiment
from tests.unit.providers.offline.inquiries import Inquiry, load


@pytest.mark.parametrize(
    ("text", "about"),
    [
        ("주문한 지 2주인데 배송이 언제 되나요?", "delivery"),
        ("택배 배송이 안 와서 환불 요청합니다", "refund"),
        ("카드로 결제했는데 영수증 발급이 안 돼요", "payment"),
        ("노트북 전원이 안 들어와요. 불량인 것 같아요", "product"),
        ("로그인이 안 되고 비밀번호를 바꿀 수 없어요", "account"),
        ("상담원이 너무 불친절했어요", "service"),
        ("오늘 날씨가 좋네요", "other"),
        ("Where is my parcel? Tracking says it was shipped.", "delivery"),
        ("The parcel never came, I want my money back", "refund"),
        ("I was charged twice on my card", "payment"),
        ("The kettle stopped working, is it under warranty?", "product"),
        ("I forgot my password and cannot log in", "account"),
        ("The support agent was rude", "service"),
        ("Nice weather today", "other"),
        ("We classified the cardinal's accounting textbook", "other"),
    ],
)
def test_category(text: str, about: str) -> None:
    assert category(text) == about


@pytest.mark.parametrize(
    ("text", "mood"),
    [
        ("배송도 빠르고 제품도 너무 만족스러워요. 감사합니다!", "positive"),
        ("필터를 따로 살 수 있나요? 감사합니다.", "neutral"),
        ("배송이 아직 안 왔어요. 너무 실망입니다. 감사합니다.", "negative"),
        ("Love it, works great, thank you so much!", "positive"),
        ("Could you tell me whether a spare filter is available? Thanks!", "neutral"),
        ("It arrived broken and nobody answers.", "negative"),
        ("", "neutral"),
    ],
)
def test_sentiment(text: str, mood: str) -> None:
    assert sentiment(text, heat=Heat.CALM) == mood


def test_insults_are_negative_whatever_else_is_said() -> None:
    assert sentiment("고마워 죽겠네", heat=Heat.HOT) == "negative"


@pytest.mark.parametrize("inquiry", [i for i in load("ko") + load("en") if i.category], ids=lambda i: i.text[:24])
def test_category_of_angry_inquiries(inquiry: Inquiry) -> None:
    assert category(inquiry.text) == inquiry.category
