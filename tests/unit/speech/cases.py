"""The corpus of segmentation: texts, and where a competent speaker would part them."""

import tomllib
from pathlib import Path

import msgspec

from speech.segmentation import Segment, Segmenter

_CORPUS = Path(__file__).parent / "corpus"
FILES = sorted(path.stem for path in _CORPUS.glob("*.toml"))
"""The files of the corpus. Each is one case of a test: hundreds of their texts take longer to report than to part."""


class Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A text, as its segments."""

    segments: list[str]
    spoken: list[str] | None = None
    """What of each is said, where it is more than trimming."""
    language: str | None = None
    file: str = ""

    @property
    def text(self) -> str:
        return "".join(self.segments)

    @property
    def expected(self) -> list[str]:
        """The segments without outer whitespace."""
        return [segment.strip() for segment in self.segments]


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    case: list[Case]
    language: str | None = None


def load(*names: str) -> list[Case]:
    """The cases of these files, of all of them if none is named."""
    cases: list[Case] = []
    for path in [_CORPUS / f"{name}.toml" for name in names or FILES]:
        file = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _File)
        cases += (
            msgspec.structs.replace(case, language=case.language or file.language, file=path.stem) for case in file.case
        )
    return cases


def segments(text: str, language: str | None, size: int = 0, *, clause_first: bool = False) -> list[Segment]:
    """Its segments when it comes in deltas of `size` characters, at once if 0."""
    segmenter = Segmenter(language, clause_first)
    found: list[Segment] = []
    for at in range(0, len(text), size or max(1, len(text))):
        found += segmenter.feed(text[at : at + (size or len(text))])
    return found + segmenter.end()


def exact(case: Case, found: list[Segment]) -> bool:
    """Whether these are the segments of the case, and what is said of them."""
    texts = [segment.text.strip() for segment in found]
    spoken = [segment.spoken for segment in found]
    return texts == case.expected and (case.spoken is None or spoken == case.spoken)
