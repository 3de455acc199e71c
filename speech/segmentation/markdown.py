"""What of a segment is to be said: its text without markdown, emoji and emoticons."""

import re

from speech.segmentation import characters

_SPECIAL = re.compile(
    rf"[*_~`#>|\[\]<\\ㅋㅎㅠㅜ{characters.EMOJI}]|[:;=^T][\-_^]?[)(DPp^T]|[^\S ]|  | [.!?,。、，]|^\s*[-=+•·・▪◦‣]"
)
_IMAGE_OR_LINK = re.compile(r"!?\[([^\[\]\n]*)\]\([^()\s]*(?:\([^()\s]*\)[^()\s]*)*(?:\s+\"[^\"\n]*\")?\)")
_LINK_END = re.compile(r"\]\([^()\s]*\)")
_FOOTNOTE = re.compile(r"\[\^?\d{1,3}\](?!\()|\[\^[^\]\s]{1,20}\]")
_AUTOLINK = re.compile(r"<((?:https?://|mailto:)[^<>\s]+)>")
_TAG = re.compile(r"</?[a-zA-Z][^<>\n]{0,200}>")
_LINE_START = re.compile(
    r"^[ \t]*(?:(?:[-*+](?=[ \t])|[•·・▪◦‣]|>|#{1,6}(?=[ \t]))[ \t]*)+(?:\[[ xX]\][ \t]+)?", re.MULTILINE
)
_EMPHASIS = re.compile(r"\*{2,3}|_{2,3}|~~|`+|(?<![\d\s])\*|\*(?![\d\s])|(?<!\w)_(?=\w)|(?<=\w)_(?!\w)")
_ESCAPED = re.compile(r"\\([\\`*_{}\[\]()#+\-.!|>~])")
_EMOTICON = re.compile(r"(?<![A-Za-z0-9])(?:[:;=]-?[)(DPp](?![A-Za-z0-9])|\^_?\^|T_?T(?!\w))|<3(?!\d)|[ㅋㅎㅠㅜ]{2,}")
_HIDDEN = {"*": "\ue000", "_": "\ue001", "~": "\ue002", "`": "\ue003"}
"""Escaped marks while the others are removed."""
_SHOWN = str.maketrans({**{hidden: mark for mark, hidden in _HIDDEN.items()}, "\\": None})
_FACE = re.compile(r"[:;=^T<]")
_EMPHASIZED = re.compile(r"[*_~`\\\ue000-\ue003]")
_EMOJI = re.compile(f"[{characters.EMOJI}]+")
_CELL = re.compile(r"\s*\|\s*")
_RULE_CELL = re.compile(r"\|[\s:|-]*\|[ \t]*(?=\n|$)|^[ \t]*(?:[-*_=][ \t]*){3,}$", re.MULTILINE)
_SPACES = re.compile(r"\s+")
_SPACE_BEFORE_MARK = re.compile(rf"(?<=\w) (?=[.!?,。、，][{re.escape(characters.MARKS)}]*(?:\s|$))")
_LEAD = re.compile(r"(?:[\s.!?…‥。！？．｡,，、;；:：)\]}」』”’》〉】»*_~|>\\•·–—]|-(?!\d))+")
_TRAIL = re.compile(
    rf"[{re.escape(characters.MARKS)}][{re.escape(characters.MARKS)}*_]*(?=[\s{re.escape(characters.CLOSERS)}\"']*$)"
)
_REST = "|*_~ \t\n\r\f\v\x1c\x1d\x1e\x1f\x85\xa0\u3000\u2028\u2029"
_DOUBLED = characters.MARKS + characters.CLOSERS + "\"'*_ "


def speakable(text: str) -> str:
    """What to synthesize for a segment; empty if there is nothing to say.

    Markdown, emoji and outer whitespace are gone, `?!` and `...` at its end are reduced to their first mark. A list
    keeps its numbers, a table row becomes a list of its cells.
    """
    if _SPECIAL.search(text):
        text = _plain(text)
    lead = _LEAD.match(text)
    if lead is not None:
        text = text[lead.end() :]
    text = text.rstrip(_REST)
    if not characters.WORD.search(text):
        return ""
    ending = _TRAIL.search(text, max(0, len(text) - 64)) if text[-2:-1] in _DOUBLED else None
    if ending is not None and ending.end() - ending.start() > 1:
        text = text[: ending.start() + 1] + text[ending.end() :]
    return text.rstrip()


def _plain(text: str) -> str:
    """Most segments have one or two of these, so each is looked for before it is replaced."""
    if "---" in text or "***" in text or "___" in text or "===" in text or "|" in text:
        text = _RULE_CELL.sub("", text)
    text = _LINE_START.sub("", text)
    if "[" in text or "](" in text:
        text = _FOOTNOTE.sub("", _LINK_END.sub("", _IMAGE_OR_LINK.sub(r"\1", text)))
    elif "]" in text:
        text = _LINK_END.sub("", text)
    if "<" in text:
        text = _TAG.sub(" ", _AUTOLINK.sub(r"\1", text))
    if not text.isascii() or _FACE.search(text):
        text = _EMOJI.sub("", _EMOTICON.sub("", text))
    if (row := text.lstrip(characters.LEADING)).startswith("|"):
        text = _CELL.sub(", ", row.rstrip().strip("|"))
    if "\\" in text:
        text = _ESCAPED.sub(lambda match: _HIDDEN.get(match[1], match[1]), text)
    if _EMPHASIZED.search(text):
        text = _EMPHASIS.sub("", text).translate(_SHOWN)
    return _SPACE_BEFORE_MARK.sub("", _SPACES.sub(" ", text))
