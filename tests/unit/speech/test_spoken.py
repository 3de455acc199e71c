"""How what is written is said."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speech.spoken import spoken
from speech.spoken.english_numerals import cardinal, ordinal, year
from speech.spoken.korean_numerals import native, sino
from tests.unit.speech import cases

KOREAN = [
    ("지금은 3시 30분입니다.", "지금은 세 시 삼십 분입니다."),
    ("저는 20살이고 동생은 21살이에요.", "저는 스무 살이고 동생은 스물한 살이에요."),
    ("사과 3개와 물 2병, 책 11권", "사과 세 개와 물 두 병, 책 열한 권"),
    ("3개월, 2주, 5년, 100명, 1시간 30분 20초", "삼 개월, 이 주, 오년, 백 명, 한 시간 삼십 분 이십 초"),
    ("무게 5kg, 기온 30°C, 속도 10km/h", "무게 오 킬로그램, 기온 섭씨 삼십 도, 속도 시속 십 킬로미터"),
    ("-5°C, -3, 영하 3도", "영하 오 도, 마이너스 삼, 영하 삼 도"),
    ("100GB, 1.5L, 500 ml, 84㎡", "백 기가바이트, 일 점 오 리터, 오백 밀리리터, 팔십사 제곱미터"),
    ("2026-11-21입니다.", "이천이십육년 십일월 이십일일입니다."),
    ("2026. 11. 21.입니다.", "이천이십육년 십일월 이십일일입니다."),
    ("2026년 6월 10일, 10월 6일", "이천이십육년 유월 십일, 시월 육일"),
    ("마감은 11/21까지, 2026/6/1부터", "마감은 십일월 이십일일까지, 이천이십육년 유월 일일부터"),
    ("14:30, 09:00~18:00, 3:00 PM", "십사 시 삼십 분, 아홉 시에서 십팔 시, 오후 세 시"),
    ("오후 3:30에", "오후 세 시 삼십 분에"),
    ("₩12,000, $3.50, 1,500원, €5", "만 이천 원, 삼 달러 오십 센트, 천오백 원, 오 유로"),
    ("1억 2천만 원, 3만 5천원, 1만원", "일억 이천만 원, 삼만 오천 원, 만 원"),
    ("$1.2M, 12,345,678원", "백이십만 달러, 천이백삼십사만 오천육백칠십팔 원"),
    ("010-1234-5678로 전화하세요.", "공일공, 일이삼사, 오육칠팔로 전화하세요."),
    ("1588-1234나 02-123-4567", "일오팔팔, 일이삼사나 공이, 일이삼, 사오육칠"),
    ("15%에서 2.5%p", "십오 퍼센트에서 이 점 오 퍼센트포인트"),
    ("10~20명이 3~5일", "열 명에서 스무 명이 삼일에서 오일"),
    ("10~20%, 1~2시간", "십에서 이십 퍼센트, 한 시간에서 두 시간"),
    ("1/2과 3/4", "이분의 일과 사분의 삼"),
    ("1번째 손님, 제1회 대회", "첫 번째 손님, 제일 회 대회"),
    ("하루에 3번, 2번 출구, 1번을 누르세요", "하루에 세 번, 이 번 출구, 일 번을 누르세요"),
    ("20대 여성과 차 3대", "이십 대 여성과 차 세 대"),
    ("API와 AWS의 S3", "에이피아이와 에이더블유에스의 에스쓰리"),
    ("A형, Q&A, NASA, GPT-4.1은", "에이형, 큐앤에이, 나사, 지피티 사 점 일은"),
    ("help@example.com으로", "help 골뱅이 example 닷컴으로"),
    ("https://docs.example.com/a?b=1 참고", "docs 점 example 닷컴 참고"),
    ("사과 & 배, @john, #3, #봄", "사과 앤 배, 골뱅이 john, 삼번, 해시태그 봄"),
    ("v2.1과 2.1.3", "버전 이 점 일과 이 점 일 점 삼"),
    ("3.14, 0.5, 007, 10000", "삼 점 일사, 영 점 오, 공공칠, 만"),
    ("3+4=7, 16:9", "삼 더하기 사는 칠, 십육 대 구"),
    ("서울시 123-45, 101-1203호", "서울시 백이십삼 다시 사십오, 백일 다시 천이백삼 호"),
    ("정답은 3입니다.", "정답은 삼입니다."),
    ("３시에 ５０％", "세 시에 오십 퍼센트"),
    ("인증번호는 482913입니다.", "인증번호는 사팔이구일삼입니다."),
    ("카드 끝자리 1234, 우편번호 06234", "카드 끝자리 일이삼사, 우편번호 공육이삼사"),
    ("계좌번호 110-123-456789", "계좌번호 일일공, 일이삼, 사오육칠팔구"),
    ("주문번호 20261121-0045, #4711", "주문번호 이공이육일일이일 다시 공공사오, 사칠일일번"),
    ("오전 9시~오후 6시, 7월~8월", "오전 아홉 시에서 오후 여섯 시, 칠월에서 팔월"),
    ("3월 1일(금)~3일(일)", "삼월 일일(금)에서 삼일(일)"),
    ("안녕~ 3시에 봐요", "안녕~ 세 시에 봐요"),
    ("10만~20만 원, $10~$20", "십만에서 이십만 원, 십 달러에서 이십 달러"),
    ("-₩5,000, US$20", "마이너스 오천 원, 이십 달러"),
    ("3·1절, 6·25 전쟁, 8.15 광복절", "삼일절, 육이오 전쟁, 팔일오 광복절"),
    ("1·2호선, 버전 3.1", "일·이 호선, 버전 삼 점 일"),
    ("119에 신고, 119번 버스", "일일구에 신고, 백십구 번 버스"),
    ("물 2컵, 5묶음, 3정거장, 4자리", "물 두 컵, 다섯 묶음, 세 정거장, 네 자리"),
    ("3대1, 차 3대", "삼 대 일, 차 세 대"),
    ("B2-15 구역 3A석", "비 이 다시 십오 구역 삼에이석"),
    ("1/8,145,060, 4x6, USB-C", "팔백십사만 오천육십분의 일, 사 곱하기 육, 유에스비-씨"),
    ("정답은 2번, 하루 2번", "정답은 이 번, 하루 두 번"),
    ("I am here.", "I am here."),
]
ENGLISH = [
    ("3 apples and 1,234 pears", "three apples and one thousand two hundred thirty-four pears"),
    ("5kg, 1 kg, 6 ft, 100GB", "five kilograms, one kilogram, six feet, one hundred gigabytes"),
    ("30°C, 10 km/h, 15%", "thirty degrees Celsius, ten kilometers per hour, fifteen percent"),
    ("2026-11-21.", "November twenty-first, twenty twenty-six."),
    ("Due 11/21 or 11/21/2026", "Due November twenty-first or November twenty-first, twenty twenty-six"),
    ("On November 21, 2026 or Nov. 3", "On November twenty-first, twenty twenty-six or November third"),
    (
        "$3.50, $1, £2.99, ₩12,000",
        "three dollars and fifty cents, one dollar, two pounds and ninety-nine pence, twelve thousand won",
    ),
    ("$1.2 million, $3M, $0.99", "one point two million dollars, three million dollars, ninety-nine cents"),
    ("Call 555-123-4567", "Call five five five, one two three, four five six seven"),
    ("010-1234-5678", "zero one zero, one two three four, five six seven eight"),
    ("14:30, 9:05, 3:00, 3:30 PM", "fourteen thirty, nine oh five, three o'clock, three thirty PM"),
    ("1st, 2nd, 21st, 12th, 100th", "first, second, twenty-first, twelfth, one hundredth"),
    ("3-5 days, 10–20%", "three to five days, ten to twenty percent"),
    ("1/2, 3/4, 1 1/2 cups", "one half, three quarters, one and a half cups"),
    ("help@example.com", "help at example dot com"),
    ("See https://www.example.com/a?b=1.", "See example dot com."),
    ("R&D, salt & pepper, @john, #3, #tag", "R and D, salt and pepper, at john, number three, hashtag tag"),
    ("In 2026, the 1990s, 2000 people", "In twenty twenty-six, the nineteen nineties, two thousand people"),
    ("v2.1, 2.1.3, -5", "version two point one, two point one point three, minus five"),
    ("cats vs. dogs, e.g. mine, No. 5", "cats versus dogs, for example mine, number five"),
    ("Pens, etc.", "Pens, et cetera."),
    ("3 + 4 = 7", "three plus four equals seven"),
    ("The API on AWS.", "The API on AWS."),
    ("Call 1-800-555-0199.", "Call one, eight zero zero, five five five, zero one nine nine."),
    ("Call 911, the code is 482913", "Call nine one one, the code is four eight two nine one three"),
    ("card ending in 1234, in 1999", "card ending in one two three four, in nineteen ninety-nine"),
    ("ISBN 978-3-16-148410-0", "ISBN nine seven eight, three, one six, one four eight four one zero, zero"),
    ("Order #20261121", "Order number two zero two six one one two one"),
    ("Open 9am-5pm or 9 AM – 6 PM", "Open nine AM to five PM or nine AM to six PM"),
    (
        "10:30-11:45, $10-$20, 10%-20%",
        "ten thirty to eleven forty-five, ten dollars to twenty dollars, ten percent to twenty percent",
    ),
    ("Jan 5-7, 2026", "January fifth to seventh, twenty twenty-six"),
    ("on 21 November 2026, the 3rd May", "on the twenty-first of November, twenty twenty-six, the third of May"),
    ("2 May be enough", "two May be enough"),
    (
        "Q3 2025, 2019-2021, 1990-95",
        "Q three twenty twenty-five, twenty nineteen to twenty twenty-one, nineteen ninety to ninety-five",
    ),
    ("80s music in my 30s", "eighties music in my thirties"),
    ("a 16GB stick, 16GB", "a sixteen gigabyte stick, sixteen gigabytes"),
    ("6'2\", 5 ft 10 in", "six foot two, five foot ten"),
    ("-$20, US$20, .5 mg", "minus twenty dollars, twenty US dollars, zero point five milligrams"),
    ("2:1, 50/50, 16:9", "two to one, fifty-fifty, sixteen to nine"),
    ("2x faster, 4x4, 3 x 4, 5+ years", "two times faster, four by four, three by four, five plus years"),
]


@pytest.mark.parametrize(("written", "said"), KOREAN, ids=[written for written, _ in KOREAN])
def test_korean(written: str, said: str) -> None:
    assert spoken(written, "ko-KR") == said
    assert spoken(said, "ko") == said


@pytest.mark.parametrize(("written", "said"), ENGLISH, ids=[written for written, _ in ENGLISH])
def test_english(written: str, said: str) -> None:
    assert spoken(written, "en_US") == said
    assert spoken(said, "en") == said


@pytest.mark.parametrize("language", ["ja", "zh-CN", "sv", "", None, "xx", "korean"])
def test_other_languages_are_unchanged(language: str | None) -> None:
    assert spoken("3시, 5kg, $3.50", language) == "3시, 5kg, $3.50"


@pytest.mark.parametrize("language", ["ko", "en"])
@pytest.mark.parametrize(
    "text", ["", " ", "안녕하세요. 반갑습니다!", "What a nice day, isn't it?", "はい。", "\ud800", "\x00"]
)
def test_plain_words_are_unchanged(text: str, language: str) -> None:
    assert spoken(text, language) == text


@pytest.mark.parametrize("language", ["ko", "en"])
@pytest.mark.parametrize("file", cases.FILES)
def test_saying_it_twice_changes_nothing(file: str, language: str) -> None:
    for case in cases.load(file):
        once = spoken(case.text, language)
        assert spoken(once, language) == once
        assert not any(digit in once for digit in "0123456789"), once


_WRITTEN = st.text("0123456789 .,:/-~–+=%°C$₩€#@&()시분개명일월년번원kgAPIamst\n٣²", max_size=40)


@given(text=_WRITTEN | st.text(max_size=40), language=st.sampled_from(["ko", "en"]))
@settings(max_examples=800, deadline=None)
def test_it_says_something_about_any_text(text: str, language: str) -> None:
    assert isinstance(spoken(text, language), str)


@pytest.mark.parametrize("language", ["ko", "en"])
@pytest.mark.parametrize(
    "text", ["9" * 20_000, "$" + "9" * 9000 + ".50", "1," + "000," * 3000 + "000th", "a." * 5000, "1-" * 9000]
)
def test_absurd_lengths_are_said_too(text: str, language: str) -> None:
    assert spoken(text, language)


def test_korean_numerals() -> None:
    assert [sino(n) for n in (0, 10, 11, 100, 1000, 10_000, 11_111, 100_000_000, 10**12)] == [
        *("영", "십", "십일", "백", "천", "만", "만 천백십일", "일억", "일조")
    ]
    assert [native(n) for n in (1, 10, 19, 20, 21, 99, 100)] == [
        "한",
        "열",
        "열아홉",
        "스무",
        "스물한",
        "아흔아홉",
        "백",
    ]


def test_english_numerals() -> None:
    assert cardinal(1_000_001) == "one million one"
    assert [ordinal(n) for n in (3, 20, 42)] == ["third", "twentieth", "forty-second"]
    assert [year(n) for n in (1900, 1905, 2000, 2005, 2010)] == [
        *("nineteen hundred", "nineteen oh five", "two thousand", "two thousand five", "twenty ten")
    ]
