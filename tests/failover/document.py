"""docs/failover.md's table, from what was seen: one row for each case, the same for all vendors."""

from pathlib import Path

from ringback.testing.script import Vendor
from tests.failover.cases import CASES, Case
from tests.failover.catalogue import Seen

PATH = Path(__file__).parents[2] / "docs" / "failover.md"
_BEGIN, _END = "<!-- table -->\n", "<!-- end of table -->"


def table(seen: dict[tuple[str, Vendor], Seen]) -> str:
    """The table in Markdown."""
    rows = [
        "| The provider … | The caller gets | Calls to it | Calls to the next |",
        "|---|---|---|---|",
    ]
    for case in CASES:
        said = {vendor: _row(case, seen[case.name, vendor]) for vendor in case.vendors}
        if len(set(said.values())) == 1:
            rows.append(f"| {case.does} | {said[case.vendors[0]]} |")
        else:
            rows += [f"| {case.does} ({vendor}) | {row} |" for vendor, row in said.items()]
    return "\n".join(rows) + "\n"


def _row(case: Case, found: Seen) -> str:
    error = found.job["error"]
    if error:
        gets = f"an error: `{error['code']}`" + (", and what there is of the answer" if found.job["output"] else "")
    else:
        gets = "its answer" if found.next_calls == 0 else "the next one's answer"
    if found.resets:
        gets += ", after `stream.reset`"
    return f"{gets} | {len(found.calls)} | {'–' if case.alone else found.next_calls}"


def written() -> str:
    """The table that the document has."""
    return PATH.read_text(encoding="utf-8").partition(_BEGIN)[2].partition(_END)[0]


def write(made: str) -> None:
    """Puts the table into the document."""
    before, _, rest = PATH.read_text(encoding="utf-8").partition(_BEGIN)
    PATH.write_text(before + _BEGIN + made + _END + rest.partition(_END)[2], encoding="utf-8")
