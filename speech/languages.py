"""Language tags: how callers write them, and the one of a service's that is meant."""

import re
from collections.abc import Iterable

_USUAL = {
    "ko": "ko-KR", "en": "en-US", "ja": "ja-JP", "zh": "cmn-CN", "sv": "sv-SE", "de": "de-DE", "fr": "fr-FR",
    "es": "es-ES", "it": "it-IT", "pt": "pt-BR", "nl": "nl-NL", "da": "da-DK", "nb": "nb-NO", "ar": "arb",
}  # fmt: skip
"""What a bare language means where a service has several."""
_SAME = (
    frozenset({"cmn-cn", "zh-cn", "zh-hans", "zh-hans-cn", "cmn", "zh"}),
    frozenset({"yue-cn", "zh-hk", "yue", "yue-hk", "zh-hant-hk"}),
    frozenset({"nb-no", "no-no", "no", "nb"}),
    frozenset({"arb", "ar-sa", "ar"}),
    frozenset({"en-gb-wls", "en-wl"}),
    frozenset({"cy-gb", "cy-wl", "cy"}),
    frozenset({"zh-tw", "zh-hant", "zh-hant-tw"}),
)
"""Two vendors, or two services of one, write these differently."""
_BESIDES = re.compile(r"-[a-z]{4}(?=-|$)|-[a-z0-9]-.*")
"""Script, extensions and private use: `ko-Kore-KR`, `en-US-u-hc-h12`."""


def resolved(language: str, offered: Iterable[str]) -> str | None:
    """The one of `offered` that `language` means; `None` if there is none.

    The same tag, whatever its case and separators; another spelling of it; the usual one of a bare language, or the
    first of it that is offered; else the same without what no service tells apart.
    """
    wanted = language.strip().replace("_", "-").lower()
    by_tag = {tag.lower(): tag for tag in offered}
    same = next((group for group in _SAME if wanted in group), frozenset({wanted}))
    for tag in (wanted, *sorted(same)):
        if tag in by_tag:
            return by_tag[tag]
    if (plain := _BESIDES.sub("", wanted)) != wanted and plain:
        return resolved(plain, by_tag.values())
    if "-" in wanted:
        return None
    usual = _USUAL.get(wanted, "").lower()
    return by_tag.get(usual) or next((tag for low, tag in by_tag.items() if low.split("-")[0] == wanted), None)
