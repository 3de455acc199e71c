"""docs/speech.md tells the truth about segmentation and the spoken form."""

import re
from pathlib import Path

from speech.spoken import spoken

_PAGE = (Path(__file__).parents[3] / "docs" / "speech.md").read_text(encoding="utf-8")


def test_the_example_of_the_segmenter_runs() -> None:
    blocks = [block for block in re.findall(r"```python\n(.*?)```", _PAGE, re.DOTALL) if "Segmenter(" in block]
    assert blocks
    for block in blocks:
        exec(compile(block, "docs/speech.md", "exec"), {})  # noqa: S102 - running it is the point


def test_the_table_of_spoken_forms_is_true() -> None:
    table = _PAGE.partition("| written | Korean | English |")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    assert rows
    for written, korean, english in rows:
        parts = re.findall(r"`([^`]+)`", written)
        assert spoken(", ".join(parts), "ko") == korean
        if english and "unchanged" not in english:
            assert spoken(", ".join(parts), "en") == english
