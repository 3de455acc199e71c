"""Softening: heat goes, facts and requests stay, calm texts stay as they are."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from providers.offline.facts import spans
from providers.offline.heat import Heat
from providers.offline.softening import soften
from tests.unit.providers.offline.inquiries import Inquiry, load

KOREAN, ENGLISH = load("ko"), load("en")


def facts(text: str) -> list[str]:
    """Every token with a digit, every address and quotation; found here without the code under test."""
    quoted = re.findall(r'"[^"\n]+"|“[^”\n]+”', text)
    tokens = re.sub(r'"[^"\n]+"|“[^”\n]+”', " ", text).split()
    bare = [token.strip(".,!?;:()[]'~…ㅋㅠ") for token in tokens if re.search(r"\d|@|://", token)]
    copulas = r"(?:이?야|이?냐|이?네|이?지|이?잖아|이다|임)$"
    return quoted + [re.sub(copulas, "", token) for token in bare if token not in ("씨1발", "sh1tty")]


@pytest.mark.parametrize("inquiry", KOREAN + ENGLISH, ids=lambda inquiry: inquiry.text[:24])
def test_angry_inquiries(inquiry: Inquiry) -> None:
    softened = soften(inquiry.text)

    said = softened.text.casefold()
    assert [kept for kept in inquiry.keep if kept.casefold() not in said] == []
    assert [gone for gone in inquiry.gone if gone.casefold() in said] == []
    assert [fact for fact in facts(inquiry.text) if fact not in softened.text] == []
    assert softened.heat is Heat.HOT
    if inquiry.soft is not None:
        assert softened.text == inquiry.soft


@pytest.mark.parametrize("inquiry", KOREAN + ENGLISH, ids=lambda inquiry: inquiry.text[:24])
def test_what_is_softened_is_calm(inquiry: Inquiry) -> None:
    once = soften(inquiry.text).text

    again = soften(once)

    assert again.heat is not Heat.HOT
    assert again.text == once


def test_there_are_enough_inquiries() -> None:
    assert min(len(KOREAN), len(ENGLISH)) >= 25


@pytest.mark.parametrize(
    "text",
    [
        "안녕하세요. 주문번호 7742 배송 조회가 안 되는데 확인 부탁드려요~ 감사합니다!",
        "배송기사님이 친절하셔서 기분 좋았어요 ^^ 다음에도 이용할게요ㅎㅎ",
        "쓰레기통을 시켰는데 쓰레기봉투가 왔어요. 새끼손가락만한 사과 3개와 강아지 새끼 사진도요.",
        "신제품 시발점이 된 모델인가요? 출시 발표는 시발역에서 했습니다. 개나리 2개 주세요.",
        "작년 2025년에 산 제품인데 놈팡이라는 상표예요. 미친 듯이 좋아요. 강도 높은 테스트를 했습니다.",
        "전원이 계속 꺼져요. 화면도 가끔 죽어 있어요.",
        "상담원이 저에게 욕을 했습니다. 사기를 당했어요.",
        "경찰서에 신고했는데 뉴스에 나왔습니다. 장난감이 고장 났어요. 아이가 생선 대가리를 먹었어요.",
        "Our class assessed the Scunthorpe cocktail menu; Dick Van Dyke passed. Shiitake and Essex were fine.",
        "Hello, could you tell me whether the Model S-20 kettle is available in red? Thanks!",
        "Love the new update! An hour later a user wrote an honest review of the US and UK stores.",
        "Refund of $45.00 arrived on 3 May. Return policy is clear. Call centre was kind.",
        "받는 사람: 박은해\n주소: 경남 김해\n색상: 진한 바다",
        "영향을 미친 요인이 뭔가요? 아이가 장난하다가 떨어뜨려서 깨졌어요. 머리 장식을 주문했습니다.",
        "식물이 자꾸 죽어요. 세탁기가 안 돌았어요. 며칠 두고 보니 곰팡이가 생겼습니다. 가만히 있지 않고 흔들려요.",
        "당장은 필요 없어요. 매장 문 닫아요? 집을 짓도록 도와주세요. 약을 먹었나요? 손가락이 부러졌어요.",
        "구매를 후회할 것 같아요. 엿을 먹다가 이가 깨졌어요. 아기가 토 나와요. 사기 그릇 2개가 금이 갔어요.",
        "There were rats in room 405 and a thief broke in. Scammers called me pretending to be you.",
        "I want to end my subscription with you. Do you even ship to Canada? Packages get lost sometimes.",
        "The alarm clock won't wake up my son. The La-Z-Boy recliner is lying outside. The sound is insane!",
        "Book arrived damaged. Check engine light is on. Exchange rate was wrong. Credit card declined.",
        "The finger prick device and soap scum remover work. omg I love it lol. Someone stole my card.",
        "配送が遅れています。注文番号は A-77 です！",
        "我买的手机坏了，订单号 8812，请退款！",
        "Où est ma commande n° 4471 ? Elle devait arriver le 3 mai.",
        "1. 첫째\n2. 둘째\n\n- 셋째 항목: 300원",
    ],
)
def test_calm_texts_stay_as_they_are(text: str) -> None:
    softened = soften(text)
    assert softened.text == text
    assert softened.heat is Heat.CALM


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("씨발놈들아", "불편을 겪어 불만이 있다는 내용입니다."),
        ("야 이 개새끼야!!! 장난하냐? 꺼져", "불편을 겪어 불만이 있다는 내용입니다."),
        ("ㅅㅂ ㅋㅋㅋㅋ", "불편을 겪어 불만이 있다는 내용입니다."),
        ("Fuck you!!!", "The customer is upset."),
        ("You are a bunch of idiots. Go to hell.", "The customer is upset."),
    ],
)
def test_nothing_but_heat_leaves_one_neutral_sentence(text: str, left: str) -> None:
    assert soften(text).text == left


@pytest.mark.parametrize(
    ("text", "soft"),
    [
        ("당장 환불해", "빠른 환불 부탁드립니다."),
        ("환불해줘", "환불 부탁드립니다."),
        ("11월 3일에 보낸다더니 왜 안 와?", "11월 3일에 보낸다더니 왜 안 오나요?"),
        ("벌써 5일째야. 이게 벌써 3번째네", "벌써 5일째입니다. 이게 벌써 3번째이네요."),
        ("직원 새끼가 반말했어", "직원이 반말했습니다."),
        ("사기꾼들이 돈만 받고 연락이 없어", "담당자들이 돈만 받고 연락이 없습니다."),
        ("전화하는 놈이 욕을 했다", "전화하는 분이 욕을 했습니다."),
        ("너희가 보낸 거 고장났잖아", "귀사가 보낸 거 고장났습니다."),
        ("12월 25일까지 안 오면 가만 안 둔다", "12월 25일까지 안 오면 곤란합니다."),
        ("배송 존나 늦네", "배송 너무 늦네요."),
        ("딴 데로 보내지 마", "딴 데로 보내지 말아 주세요."),
        ("소비자원에 신고할 거야", "소비자원에 신고하겠습니다."),
        ("문의를 다 씹고 있냐", "문의를 답변하지 않고 있나요?"),
        ('직원이 "꺼져 병신아"라고 했다', '직원이 "꺼져 병신아"라고 했습니다.'),
        ("WHY IS MY SAMSUNG TV NOT HERE", "Why is my SAMSUNG TV not here."),
        ("I want my money NOW", "I would like my money as soon as possible."),
        ("The manager is an asshole", "The manager is unhelpful."),
        ("Your idiot driver lost a fucking umbrella", "Your driver lost an umbrella."),
        ("Refund me or I'll burn your store down", "Please refund me."),
        ('He said "fuck off" to me. Send the bill.', 'He said "fuck off" to me. Please send the bill.'),
        ("언제 와요?????", "언제 와요?"),
        ("주문이 안 왔어\n당장 보내", "주문이 안 왔습니다.\n빨리 보내 주세요."),
        (
            "아니 도대체 몇 번을 말해야 알아듣습니까? 주문한 거(주문번호 20261103-771) 당장 89,000원 환불해요!!",
            "주문한 거(주문번호 20261103-771) 빨리 89,000원 환불해 주세요.",
        ),
        (
            "전화 안 받으면 본사 찾아가서 뒤집어 엎을 거니까 알아서 해. 계약번호 C-5521-88",
            "전화 안 받으면 곤란합니다. 계약번호 C-5521-88",
        ),
        (
            "배송이 안 와요. 주문번호 771, 장난합니까? 오늘 안에 환불 안 해 주면 소비자원에 신고합니다.",
            "배송이 안 와요. 주문번호 771. 오늘 안에 환불 안 해 주면 소비자원에 신고합니다.",
        ),
        (
            "Are you people completely useless? Order #4471 arrived BROKEN again. I want my $129.90 back, idiots.",
            "Order #4471 arrived broken again. I would like my $129.90 back.",
        ),
        (
            "I am so pissed off. Come pick this crap up. I'm not an idiot, I read the manual.",
            "I am upset. Come pick this product up. I read the manual.",
        ),
    ],
)
def test_how_it_reads(text: str, soft: str) -> None:
    assert soften(text).text == soft


_FACT = st.one_of(
    st.from_regex(r"[A-Z]{1,4}-[0-9]{2,9}", fullmatch=True),
    st.from_regex(r"[0-9]{1,3}(?:,[0-9]{3}){0,2}(?:원|개|일|번|시|kg|%)?", fullmatch=True),
    st.from_regex(r"(?:\$|₩|€)[0-9]{1,5}(?:\.[0-9]{2})?", fullmatch=True),
    st.from_regex(r"20[0-9]{2}-[01][0-9]-[0-3][0-9]", fullmatch=True),
    st.from_regex(r"[a-z]{1,8}\.?[a-z0-9]{1,6}@[a-z]{2,9}\.(?:com|co\.kr)", fullmatch=True),
    st.from_regex(r"https://[a-z]{2,9}\.example/[a-zA-Z0-9/_?=&.-]{0,20}[a-z0-9]", fullmatch=True),
    st.from_regex(r'"[가-힣A-Za-z!?. ]{1,20}"', fullmatch=True).filter(lambda quoted: quoted.strip('" ') != ""),
    st.from_regex(r"[가-힣]{1,4}[0-9]{1,4}[가-힣]{0,2}", fullmatch=True).filter(lambda t: not re.search("[발신]", t)),
)
_ANGER = st.sampled_from(
    re.findall(
        r"\S+",
        """씨발 개새끼야 야 이 도둑놈들아 당장 환불해 장난하냐? 존나 병신같은 미쳤냐 빡치네 죽여버린다 진짜 왜
        안 와? 신고할 거다 해라 ㅡㅡ ㅋㅋ !!! fuck you idiots NOW the worst company ever piece of shit are you stupid?
        I'll kill you give me refund!!! bastards , . ?""",
    )
)
_NAMES = st.sampled_from(["김철수", "홍길동", "갤럭시", "다이슨", "강남점", "SAMSUNG", "Marcus", "O'Brien", "Hamilton"])


@settings(max_examples=150)
@given(st.lists(st.one_of(_FACT, _ANGER, _NAMES), max_size=25), st.sampled_from([" ", "  ", "\n", ". "]))
@example(["씨발", '"a"', "3일", "fuck"], " ")
def test_every_fact_survives_between_whatever_anger(words: list[str], gap: str) -> None:
    text = gap.join(words)
    if text.count('"') % 2:
        return
    softened = soften(text).text
    assert softened or not text.strip()
    position = 0
    for start, end in spans(text):
        found = softened.find(text[start:end], position)
        assert found >= 0, (text[start:end], softened)
        position = found + end - start
    for word in words:
        if re.search(r"\d|@|://", word) and '"' not in gap.join(words):
            assert word in softened


@settings(max_examples=150)
@given(st.text(max_size=200))
def test_any_text_gets_some_text(text: str) -> None:
    softened = soften(text).text
    assert softened or not text.strip()
