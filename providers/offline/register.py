"""Korean speech levels: demands become requests, plain and intimate endings (해라체, 해체) become polite ones."""

import functools
import re
from collections.abc import Callable
from typing import NamedTuple

from providers.offline import hangul, lexicon
from providers.offline.facts import MARK
from providers.offline.hangul import BIEUP, NIEUN, PAIR_SIOT, RIEUL
from providers.offline.patterns import Rules

_POLITE = ("요", "니다", "니까", "죠", "시오", "십쇼", "?")
_DO = (
    r"해라?|해\s?줘라?|해\s?달라고(?:요)?|해\s?달라니까|해\s?줘라고|하라고?|하라니까|하라구|하란\s?말이[야다]|해\s?내라?|해\s?놔라?|해내라고?"
    r"|시켜라?|시켜\s?줘라?|해\s?주라고?|해\s?주[든던][가지]|하[든던][가지]|부탁해?|부탁한다|바람|바란다|요망|ㄱㄱ"
)
_BY_ITSELF = re.compile(rf"(?:[을를고서면지,]|{MARK})$")
"""What a request for something may not follow: there it is 해 주세요, not 부탁드립니다."""
_GIVE = re.compile(r"(?<=[아어여해려켜쳐꿔와워내져봐러가까])\s?(?:줘라?|달라고(?:요)?|달라니까|주라고?|줘라고|줘봐)$")
_GIVE_ME = re.compile(r"(?<![가-힣])(?:줘라?|달라고(?:요)?|주라고?|줘라고)$")
_HURRY_LAST = re.compile(r"\s(\S+)\s(빨리|얼른|즉시|어서|제발|좀)$")
_DO_IT = re.compile(r"해\s?(?:라|라고|봐라?|놔라?)$|하라(?:고|니까|구)$")
_IMPERATIVE = re.compile(r"(?<=[아어여워려켜쳐져꿔내])라고?$")
_HURRIED = re.compile(r"(?<![가-힣])(?:빨리|즉시|얼른|어서)\s")
_LABELLED = re.compile(r"[^:：]{1,15}[:：]\s?\S+(?:\s\S+){0,2}$")
"""받는 사람: 박은해"""
_FORBID = re.compile(r"지\s?(?:좀\s)?(?:마라?|말라고|말아라|말아|마라고)$")
_WONDERING = re.compile(r"(?<![가-힣])(?:왜|언제|어디서?|누가|어떻게|얼마나|몇\s[가-힣]+)\s(?!.*(?:지|고|면|서)$)")
_ASKING = re.compile(r"(?<![가-힣])(?:왜|어째서|어떻게)\s(?:\S+\s){0,3}\S+$|(?<![가-힣])안\s?[가-힣]{0,3}\s?줘$")


def polite(text: str, *, question: bool) -> str:
    """A sentence in polite speech, if it is not; facts are masked. It ends in `?` where its ending now asks."""
    if _HURRIED.search(text) and _demands().noun_done.search(text):
        return f"{text[:-2]}해 주세요"
    if not text or text.endswith((*_POLITE, *_NO_ENDINGS)) or _LABELLED.match(text):
        return text
    if not question and not _ASKING.search(text):
        asked = _request(text)
        if asked != text:
            return asked
    endings = _ASKED if question or _WONDERING.search(text) else _STATED
    for ending in endings.get(text[-1], ()):
        changed = ending.apply(text)
        if changed is not None:
            return changed
    return text


class _Demands:
    """The imperatives of the lexicon, compiled."""

    def __init__(self) -> None:
        words = lexicon.load("ko")["demands"]
        self.noun = re.compile(
            rf"(?:(?P<urgent>{words['urgent']})\s+)?(?<![가-힣])(?P<noun>(?:[가-힣]{{2}}\s?)?(?:{words['nouns']}))"
            rf"(?P<particle>도|을|를|이나|나|은|는)?\s?(?:(?P<hurry>{words['urgent']}|좀|제발|다)\s+)?(?:{_DO})$"
        )
        self.noun_done = re.compile(rf"(?<![가-힣])(?:{words['nouns']})해요$")
        self.bare = Rules(lexicon.entries("ko", "imperatives"), before=r"(?<![가-힣])", after=r"$")


_demands = functools.cache(_Demands)


def _request(text: str) -> str:
    demands = _demands()
    text = _HURRY_LAST.sub(r" \2 \1", text)
    if match := demands.noun.search(text):
        head = text[: match.start()].rstrip()
        hurry = match["urgent"] or (match["hurry"] if match["hurry"] not in ("좀", "제발", "다") else None)
        noun = match["noun"] + ("도" if match["particle"] == "도" else "")
        if _BY_ITSELF.search(head):
            return f"{head} {'빨리 ' if hurry else ''}{noun}{' ' if noun.endswith('도') else ''}해 주세요"
        return f"{head} {'빠른 ' if hurry else ''}{noun} 부탁드립니다".lstrip()
    for pattern, put in ((_GIVE, " 주세요"), (_GIVE_ME, "주세요"), (_FORBID, "지 말아 주세요"), (_DO_IT, "해 주세요")):
        if pattern.search(text):
            return pattern.sub(put, text)
    asked = demands.bare.apply(text)
    return _IMPERATIVE.sub(" 주세요", text) if asked == text else asked


# The endings, in the order in which they are tried. Each is what a sentence ends in (alternatives with `|` between),
# what the character before that must be, and what takes its place.

Before = Callable[[str], bool]
Change = str | Callable[[str, str], str]
"""What takes the place of the ending, or a function of what precedes it and the ending to the whole sentence."""


class Ending(NamedTuple):
    """One ending of sentences."""

    tails: tuple[str, ...]
    before: Before
    change: Change

    def apply(self, text: str) -> str | None:
        """The changed sentence; `None`: it does not end so."""
        for tail in self.tails:
            if text.endswith(tail):
                head = text[: -len(tail)]
                if self.before(head[-1:]):
                    return head + self.change if isinstance(self.change, str) else self.change(head, tail)
        return None


_STEMS: dict[str, str] = dict(
    re.findall(
        r"(\S+):(\S+)",
        """와:오 봐:보 줘:주 해:하 돼:되 려:리 쳐:치 져:지 켜:키 껴:끼 겨:기 써:쓰 커:크 꺼:끄 싸:싸 가:가 나:나
        보내:보내 몰라:모르""",
    )
)
"""Contracted endings of 해체, and the stem in them."""
_VERBS = "하되오가보주나싸쁘리치키지내느크르파니"
"""Open syllables that end verbs and adjectives rather than nouns."""
_NO_ENDINGS = tuple(
    re.findall(
        r"\S+",
        """책임 모임 게임 프레임 타임 위임 선임 움직임 포함 명함 보관함 우편함 사물함 결함 수하물함 언어 용어 영어 국어
        단어 색어 장어 연어 문어 상어 광어 방어 인어 은어 동네 그네 아시아 사이다 바다 소다 마다 보다 프라다 캐나다 판다
        혼다 피해 손해 이해 오해 올해 거지 하나""",
    )
)
"""Nouns and particles that look like endings."""


def _after(*finals: int, one_of: str = "", closed: bool = False) -> Before:
    """A syllable with one of these final consonants, or with any (`closed`), or one of these characters."""

    def fits(character: str) -> bool:
        number = hangul.final(character) if character else None
        return (character != "" and character in one_of) or number in finals or (closed and bool(number))

    return fits


def _after_hangul(character: str) -> bool:
    return character != "" and hangul.final(character) is not None


def _after_fact(character: str) -> bool:
    return re.fullmatch(MARK, character) is not None


def _whole_word(character: str) -> bool:
    return not _after_hangul(character)


def _inside_text(character: str) -> bool:
    return character != ""


def _anything(character: str) -> bool:
    return True


def _on(endings: str, before: Before, change: Change) -> Ending:
    return Ending(tuple(endings.split("|")), before, change)


def _formal(head: str, _: str) -> str:
    return f"{head[:-1]}{hangul.with_final(head[-1], BIEUP)}니다"


def _with_yo(head: str, tail: str) -> str:
    return f"{head}{tail}요"


def _with_yo_asked(head: str, tail: str) -> str:
    return f"{head}{tail}요?"


def _stem_asked(head: str, tail: str) -> str:
    return f"{head}{_STEMS[tail]}나요?"


_FIRM = _after(PAIR_SIOT, one_of="없있같많싫늦좋높낮않받맞작")
_ALWAYS_ASKING = (
    _on("이냐|냐|이니", _after_fact, "인가요?"),
    _on("뭐야|뭐냐|뭐냐고|뭐니|뭔데|뭐임|뭐지", _whole_word, "무엇인가요?"),
    *(
        _on(f"{w}야|{w}냐|{w}냐고|{w}임|{w}니", _whole_word, f"{w}인가요?")
        for w in ("누구", "어디", "언제", "얼마", "왜")
    ),
    _on(" 거냐| 거냐고| 거니|거냐|거냐고|거니", _after(NIEUN, RIEUL), " 건가요?"),
    _on("아니냐|아니냐고", _whole_word, "아닌가요?"),
    _on("이냐|이냐고", _after_hangul, "인가요?"),
    _on("냐|냐고", _after(one_of=_VERBS, closed=True), "나요?"),
    _on("냐|냐고", _after_hangul, "인가요?"),
)
_QUESTIONS = (
    _on("아니야|아냐", _whole_word, "아닌가요?"),
    *_ALWAYS_ASKING,
    _on(" 거야|거야| 꺼야|꺼야| 건데|건데| 거임", _after(NIEUN, RIEUL), " 건가요?"),
    _on("어|아|니|음|나|는지", _FIRM, "나요?"),
    _on("가|나", _after(one_of=" "), _stem_asked),
    _on("|".join(stem for stem in _STEMS if stem not in "가나"), _inside_text, _stem_asked),
    _on("니", _after(one_of=_VERBS), "나요?"),
    _on("지", _after(PAIR_SIOT, one_of="없있" + _VERBS), "지요?"),
    _on("이야", _after_hangul, "인가요?"),
    _on("는데|은데|인데|던데|한데|된데|운데|다고|다며|다면서|라며|라면서|라고|자고", _anything, _with_yo_asked),
    _on("네|군", _after_hangul, _with_yo_asked),
    _on("나|까", _after(one_of=_VERBS, closed=True), _with_yo_asked),
    _on("가|대", _after(NIEUN), _with_yo_asked),
    _on("아|어|러|워|래", _after_hangul, _with_yo_asked),
)
_STATEMENTS = (
    _on("아니야|아니다|아니잖아|아냐", _whole_word, "아닙니다"),
    *_ALWAYS_ASKING,
    _on("이야|야|이다|임|이잖아", _after_fact, "입니다"),
    _on("이네|네", _after_fact, "이네요"),
    _on(" 거야|거야| 꺼야|꺼야| 거다|거다| 것이다|것이다", _after(NIEUN, RIEUL), " 것입니다"),
    _on("다|슴|음|잖아|는다|구나|습니당", _FIRM, "습니다"),
    _on("어", _after(PAIR_SIOT, one_of="없있"), "습니다"),
    _on("아", _after(one_of="같많"), "습니다"),
    _on("는다", _after(closed=True), "습니다"),
    _on("다", _after(NIEUN, RIEUL, one_of=_VERBS), _formal),
    _on("다", _after(closed=True), "습니다"),
    _on("이야|이다|이잖아", _after_hangul, "입니다"),
    _on("잖아", _after(one_of=_VERBS), _formal),
    _on("임", _after_hangul, "입니다"),
    _on("함", _after_hangul, "합니다"),
    _on("됨", _anything, "됩니다"),
    _on("버림", _anything, "버립니다"),
    _on("시킴", _anything, "시킵니다"),
    _on("해줌|해 줌", _anything, "해 줍니다"),
    _on("옴", _after(one_of="안못 "), "옵니다"),
    *(
        _on(f"{noun}야", _whole_word, f"{noun}입니다")
        for noun in (
            "사기",
            "최고",
            "문제",
            "때",
            "회사",
            "무료",
            "피해",
            "처리",
            "오류",
            "사고",
            "불가",
            "가짜",
            "별로",
            "개",
            "마찬가지",
            "그대로",
            "이유",
        )
    ),
    _on("게|께", _after(RIEUL), "게요"),
    _on("지", _after(PAIR_SIOT, one_of="없있" + _VERBS), _with_yo),
    _on("네", _after(PAIR_SIOT, one_of="없있같하되오치쁘리싸비크많늦받나들럽"), _with_yo),
    _on(
        "거든|잖아|는데|은데|인데|던데|한데|된데|운데|건데|니까|다고|라고|몰라|달라|느려|비싸|빨라", _anything, _with_yo
    ),
    _on("대", _after(NIEUN, one_of="없있"), _with_yo),
    _on("이래", _after_hangul, _with_yo),
    _on("더라|더라고", _anything, "더군요"),
    _on("구나|구만|구먼", _after(NIEUN, PAIR_SIOT), "군요"),
    _on("아|어", _after(closed=True), _with_yo),
    _on("와|가|해|돼|봐", _after(one_of="안못 "), _with_yo),
    _on("해|돼|려|져|켜|쳐|꺼|겨|워|와|써|커", _after_hangul, _with_yo),
)


def _by_last(endings: tuple[Ending, ...]) -> dict[str, list[Ending]]:
    """The endings by their last syllable, in their order."""
    found: dict[str, list[Ending]] = {}
    for ending in endings:
        for last in dict.fromkeys(tail[-1] for tail in ending.tails):
            found.setdefault(last, []).append(ending)
    return found


_ASKED, _STATED = _by_last(_QUESTIONS), _by_last(_STATEMENTS)
