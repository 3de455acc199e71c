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
_EMOJI = re.compile(f"[{characters.EMOJI}]+")
_CELL = re.compile(r"\s*\|\s*")
_RULE_CELL = re.compile(r"\|[\s:|-]*\|[ \t]*(?=\n|$)|^[ \t]*(?:[-*_=][ \t]*){3,}$", re.MULTILINE)
_SPACES = re.compile(r"\s+")
_SPACE_BEFORE_MARK = re.compile(r"(?<=\w) (?=[.!?,。、，](?:\s|$))")
_LEAD = re.compile(r"(?:[\s.!?…‥。！？．｡,，、;；:：)\]}」』”’》〉】»*_~|>\\•·–—]|-(?!\d))+")
_TRAIL = re.compile(
    rf"[{re.escape(characters.MARKS)}][{re.escape(characters.MARKS)}*_]*(?=[\s{re.escape(characters.CLOSERS)}\"']*$)"
)
_MORE = re.compile(r"[\s|*_~]+$")


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
    text = _MORE.sub("", text)
    if not characters.WORD.search(text):
        return ""
    ending = _TRAIL.search(text, max(0, len(text) - 64))
    if ending is not None and ending.end() - ending.start() > 1:
        text = text[: ending.start() + 1] + text[ending.end() :]
    return text.rstrip()


def _plain(text: str) -> str:
    text = _RULE_CELL.sub("", text)
    text = _LINE_START.sub("", text)
    text = _IMAGE_OR_LINK.sub(r"\1", text)
    text = _LINK_END.sub("", text)
    text = _FOOTNOTE.sub("", text)
    text = _AUTOLINK.sub(r"\1", text)
    text = _TAG.sub(" ", text)
    text = _EMOTICON.sub("", text)
    text = _EMOJI.sub("", text)
    if "|" in text and text.lstrip().startswith("|"):
        text = _CELL.sub(", ", text.strip().strip("|"))
    text = _EMPHASIS.sub("", _ESCAPED.sub(lambda match: match[0] if match[1] in "*_~`" else match[1], text))
    text = text.replace("\\", "")
    return _SPACE_BEFORE_MARK.sub("", _SPACES.sub(" ", text))
