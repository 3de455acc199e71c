"""What the scripted vendors take for a turn, what the model says, and the floor that follows from both."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

RECOGNITION_S = 0.3
"""From the end of the audio to its transcript."""
FIRST_TOKEN_S = 0.3
"""From the request to the first token."""
TOKEN_S = 0.02
"""From a token to the next one."""
SYNTHESIS_S = 0.15
"""From a request for speech to its sound, all of it."""
SENTENCES = 4
SENTENCE_TOKENS = 15
HEARD = "제가 주문한 물건은 언제쯤 오나요?"
"""What is recognized, whatever was said."""


class Floor(msgspec.Struct, frozen=True, kw_only=True):
    """The earliest times that the vendors allow, in seconds from the end of the audio; nothing else takes any."""

    transcript_s: float
    first_token_s: float
    first_sentence_s: float
    """Its last token is there."""
    first_audio_s: float
    last_audio_s: float


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """One answer of the model: `SENTENCES` sentences of `SENTENCE_TOKENS` tokens each."""

    model: str
    title: str
    language: str
    voice: str
    tokens: tuple[str, ...]
    clause: bool = False
    """Its first sentence has a clause that can be spoken before the rest of it is written."""
    certain: bool = False
    """The last token of a sentence can only be its end."""

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self.tokens)

    @property
    def floor(self) -> Floor:
        """Spoken by whole sentences, each as soon as its last token is there.

        Whether the sentence can be known to be over by then is another matter: `입니다.` can be nothing else, but an
        English `word.` only is with the space of the next token, 20 ms later.
        """
        return _floor(SENTENCE_TOKENS)

    def own_floor(self, segmenter: Callable[[], Any]) -> Floor:
        """The same when the first chunk is spoken as soon as `segmenter` gives it out: what is left is no one's choice.

        `segmenter` makes an object with `feed`.
        """
        cutter = segmenter()
        cut = (number for number, token in enumerate(self.tokens, start=1) if cutter.feed(token))
        return _floor(next(cut, len(self.tokens)))


def _floor(tokens: int) -> Floor:
    """If the first chunk is certain with that many tokens."""
    first_token = RECOGNITION_S + FIRST_TOKEN_S
    first_chunk = first_token + (tokens - 1) * TOKEN_S
    return Floor(
        transcript_s=RECOGNITION_S,
        first_token_s=first_token,
        first_sentence_s=first_chunk,
        first_audio_s=first_chunk + SYNTHESIS_S,
        last_audio_s=first_token + (SENTENCES * SENTENCE_TOKENS - 1) * TOKEN_S + SYNTHESIS_S,
    )


def _tokens(*sentences: str) -> tuple[str, ...]:
    """As a tokenizer would cut them, which here is where a bar stands; spaces lead."""
    cut = tuple(token for sentence in sentences for token in sentence.split("|"))
    assert len(cut) == SENTENCES * SENTENCE_TOKENS
    return cut


_KOREAN = (
    " 배송| 조회|는| 주문| 내역| 화면|의| 배송| 버튼|을| 눌러| 직접| 확인하실| 수| 있습니다.",
    " 도착|이| 하루| 이상| 늦어|지면| 저희|가| 먼저| 문자|로| 새로운| 일정을| 알려| 드리겠습니다.",
    " 더| 궁금|하신| 점|이| 있으|시면| 언제|든지| 편하게| 이| 번호로| 다시| 전화해| 주세요.",
)
_ENGLISH = (
    " You| can| follow| the| parcel| at| any| time| with| the| number| in| your| confirmation| mail.",
    " If| it| is| more| than| one| day| late| we| will| send| you| a| short| message.",
    " Please| call| this| number| again| whenever| you| have| another| question| about| your| order| or| delivery.",
)
SCRIPTS = (
    Script(
        model="ko-sentence",
        title="Korean, first sentence whole",
        language="ko-KR",
        certain=True,
        voice="Seoyeon",
        tokens=_tokens(
            "고객|님의| 주문|은| 어제| 저녁| 늦게| 저희| 물류| 센터|에서| 정상|적으로| 출고|되었습니다.", *_KOREAN
        ),
    ),
    Script(
        model="ko-clause",
        title="Korean, first sentence with a clause",
        language="ko-KR",
        certain=True,
        voice="Seoyeon",
        tokens=_tokens(
            "고객|님의| 주문|은| 어제| 저녁|에| 출고|되었|고,| 내일| 오전|에| 도착할| 예정입니다.", *_KOREAN
        ),
        clause=True,
    ),
    Script(
        model="en-sentence",
        title="English, first sentence whole",
        language="en-US",
        voice="Joanna",
        tokens=_tokens(
            "Your| order| left| our| main| warehouse| in| Busan| late| last| night| on| the| regular| truck.", *_ENGLISH
        ),
    ),
    Script(
        model="en-clause",
        title="English, first sentence with a clause",
        language="en-US",
        voice="Joanna",
        tokens=_tokens(
            "Your| order| left| our| warehouse| last| night|,| and| it| should| reach| you| tomorrow| morning.",
            *_ENGLISH,
        ),
        clause=True,
    ),
)
BY_MODEL: Mapping[str, Script] = {script.model: script for script in SCRIPTS}
