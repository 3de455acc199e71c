"""Korean endings: those that end a sentence for certain, those that join clauses, and what quotes a sentence."""

import re

_TENSE = frozenset((4, 6, 18, 20))
"""Final consonants ㄴ ㄶ ㅄ ㅆ as Unicode counts them: 한다, 않다, 없다, 했다."""
_BEFORE_DA = frozenset("니이하되르크쁘프")
_NOUNS_WITH_YO = frozenset("필중주수개소동강민고부")
"""필요, 중요, 주요, 수요, 개요 … are nouns, and may be names of files."""

ENUMERATORS = frozenset("가나다라마바사")
PARTICLES = frozenset("은는이가을를의에도과와로만")

UNMARKED = ("니다", "세요", "네요", "까요", "에요", "예요")
"""Endings, two syllables each, that end a sentence before a space even where no mark stands."""

QUOTING_STARTS = "라이하했말고"
"""What the words of quoting begin with."""

_QUOTING = re.compile(r"라고|이라|라는|라며|라면|하고|하는|하며|하면|했|말했|고 ")
_CONNECTIVE = re.compile(
    r"(?:[가-힣](?:지만|는데|은데|인데|한데|던데|려면|다면|으면|하면|되면|이면|면서|니까|어서|아서|여서|므로|거나|려고|도록|다가|더니|자마자)"
    r"|(?:하|되|이|있|없|같|했|였|었|았|겠|받|가|오|주|쓰|지)고"
    r"|(?:해|돼|와|워|려|라|켜|져|가|나|봐|줘|써)서)$"
)
_AUXILIARY = frozenset("있싶나말계보안않되돼됩된될좋하합했해한는도만요못")


def final(before: str, last: str) -> bool:
    """Whether a word that ends in these two syllables and a period has ended its sentence whatever comes next."""
    if not "가" <= before <= "힣":
        return False
    if last == "다":
        return before in _BEFORE_DA or (ord(before) - 0xAC00) % 28 in _TENSE
    if last == "요":
        return before not in _NOUNS_WITH_YO
    return last in "죠까"


def connective(text: str) -> bool:
    """Whether `text` ends in an ending that joins this clause to the next."""
    return _CONNECTIVE.search(text, max(0, len(text) - 4)) is not None


def auxiliary(char: str) -> bool:
    """Whether a word that begins with `char` may belong to the verb before it: 하고 있다, 가면 돼요, 하려고 해요."""
    return char in _AUXILIARY


def quotes(following: str) -> bool:
    """Whether these words make what stood before them a quotation: 라고, 하고, 하며 …"""
    return _QUOTING.match(following) is not None
