"""A plain reply to what was said last. It says what it is: it neither reasons nor knows anything."""

import re

from providers.offline.language import Language, detect
from providers.offline.summary import summarize

_LONGEST = 200
"""Characters of the sentence that is repeated."""
_GREETING = re.compile(
    r"\s*(?:안녕[가-힣]*|반가[가-힣]*|(?:hi|hello|hey|greetings|good\s+(?:morning|afternoon|evening))(?:\s+there)?"
    r"|こんにちは|おはよう\S*|你好|您好)[\s!.~,。！]*",
    re.IGNORECASE,
)
_THANKS = re.compile(
    r"\s*(?:(?:정말\s|대단히\s)?(?:감사|고마|고맙)[가-힣]*|thanks?(?:\s+(?:you|so much|a lot|very much))*"
    r"|ありがとう\S*|谢谢\S*)[\s!.~。！]*",
    re.IGNORECASE,
)
_QUESTION = re.compile(r"[?？]\s*$|(?:나요|까요|습니까|ㅂ니까|인가요|ですか|ますか|吗|呢)[\s.。]*$")

_SAYS: dict[Language, dict[str, str]] = {
    "ko": {
        "self": "저는 Ringback의 오프라인 모델입니다. 정해진 규칙으로만 동작하며, 추론하거나 지식으로 답하지 못합니다.",
        "greeting": "안녕하세요!",
        "thanks": "천만에요.",
        "question": "질문을 받았습니다: “{key}”",
        "statement": "이렇게 적어 주셨습니다: “{key}”",
        "offer": "요약·순화·문의 정리는 오프라인으로도 할 수 있고, 실제 답변이 필요하면 AI 제공자를 설정해 주세요.",
    },
    "en": {
        "self": "This is Ringback's offline model: it follows fixed rules and neither reasons nor knows facts.",
        "greeting": "Hello!",
        "thanks": "You are welcome.",
        "question": "You asked: “{key}”",
        "statement": "You wrote: “{key}”",
        "offer": "It can summarize, soften and sort inquiries; for a real answer, configure an AI provider.",
    },
    "ja": {
        "self": "Ringbackのオフラインモデルです。決まった規則で動くだけで、推論も知識による回答もできません。",
        "greeting": "こんにちは！",
        "thanks": "どういたしまして。",
        "question": "ご質問：「{key}」",
        "statement": "いただいた内容：「{key}」",
        "offer": "本当の回答が必要な場合は、AIプロバイダーを設定してください。",
    },
    "zh": {
        "self": "这是Ringback的离线模型，只按固定规则运行，不会推理，也没有知识。",
        "greeting": "你好！",
        "thanks": "不客气。",
        "question": "您的问题：“{key}”",
        "statement": "您写道：“{key}”",
        "offer": "如需真正的回答，请配置AI服务商。",
    },
}


def reply(said: str) -> str:
    """A reply to `said`, in its language."""
    says = _SAYS[detect(said)]
    text = said.strip()
    if not text or _GREETING.fullmatch(text):
        parts = [says["greeting"], says["self"], says["offer"]]
    elif _THANKS.fullmatch(text):
        parts = [says["thanks"], says["self"]]
    else:
        kind = "question" if _QUESTION.search(text[-200:]) else "statement"
        parts = [says["self"], says[kind].replace("{key}", _key(text)), says["offer"]]
    return (" " if detect(said) in ("ko", "en") else "").join(parts)


def _key(text: str) -> str:
    """The sentence that says most, shortened if it is long."""
    key = summarize(text, max_sentences=1)
    return key if len(key) <= _LONGEST else f"{key[: _LONGEST - 1].rstrip()}…"
