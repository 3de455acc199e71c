"""The benchmark beside LiteLLM runs from end to end, with a stand-in for LiteLLM; and what its numbers mean."""

import math
import re
import stat
import sys
from pathlib import Path

import msgspec
import pytest

from benchmarks.children import Failed
from benchmarks.figures import Target
from benchmarks.litellm import proxy
from benchmarks.litellm.__main__ import TITLES, run
from benchmarks.litellm.contrast import Contrast, in_ms, section
from benchmarks.litellm.scale import Scale
from benchmarks.litellm.sides import Name

TINY = Scale(
    rounds=2,
    instant_s={1: 0.2, 2: 0.2},
    half_s={1: 0.1},
    paced_s={2: 0.1},
    rate_s=0.3,
    at_once=(2, 3),
    warm_s=0.4,
    breath_s=0.01,
    settle_s=0.0,
    starts=0,
)
ROOT = Path(__file__).resolve().parents[3]


def installed(directory: Path, script: str) -> Path:
    """An environment in which `script` is the command `litellm`."""
    packages = directory / "lib" / "python3.11" / "site-packages" / "litellm-9.9.9.dist-info"
    packages.mkdir(parents=True)
    (packages / "METADATA").write_text("Metadata-Version: 2.1\nName: litellm\nVersion: 9.9.9\n", encoding="utf-8")
    command = directory / "bin" / "litellm"
    command.parent.mkdir()
    command.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    return directory


async def test_every_measurement_tells_numbers_of_both(tmp_path: Path) -> None:
    stand_in = Path(__file__).with_name("stand_in.py")
    environment = installed(tmp_path, f'exec "{sys.executable}" -P "{stand_in}" "$@"')
    told: list[str] = []
    report = await run(TINY, list(TITLES), told.append, environment=environment)
    assert {letter: found.failure for letter, found in report.items()} == dict.fromkeys(TITLES, "")
    rows = [row for found in report.values() for row in found.rows]
    assert not [row.name for row in rows if math.isnan(row.ringback)]
    assert not [row.name for row in rows if row.litellm is not None and math.isnan(row.litellm)]
    assert all(TITLES[letter] in "\n".join(told) for letter in TITLES)
    assert [row.name for row in rows if row.target] == ["instant, 1 at once, p50", "half, 1 at once, p50", "best"]

    # Half a second of the upstream is of no gateway: on all sides it is there, and in no overhead.
    (half,) = (row for row in rows if row.name == "half, 1 at once, p50")
    assert min(half.direct or 0, half.litellm or 0, half.ringback) >= 500
    document = msgspec.json.decode(msgspec.json.encode({letter: found.document() for letter, found in report.items()}))
    assert all({"ratio", "met", "litellm_adds", "ringback_adds"} <= row.keys() for row in document["a"]["rows"])


async def test_a_proxy_that_does_not_start_is_told_with_its_last_words(tmp_path: Path) -> None:
    environment = installed(tmp_path, "echo no master key is set; echo and more >&2; exit 3")
    with pytest.raises(Failed, match=r"did not become ready:\nno master key is set\nand more"):
        async with proxy.running("http://127.0.0.1:9", ["instant"], environment=environment):
            pass


def test_without_an_installation_the_command_that_makes_it_is_told(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="make bench-litellm"):
        proxy.version(tmp_path)
    assert proxy.version(installed(tmp_path / "environment", "")) == "9.9.9"


def test_a_ratio_is_of_what_each_adds_where_times_add_up() -> None:
    samples: dict[Name, list[list[float]]] = {
        "direct": [[0.100] * 100],
        "litellm": [[0.130] * 100],
        "ringback": [[0.110] * 100],
    }
    p50, p99 = in_ms("whole", samples, p50=Target(at_most=1 / 3))
    assert p50.added(p50.litellm) == pytest.approx(30)
    assert p50.added(p50.ringback) == pytest.approx(10)
    assert p50.ratio == pytest.approx(1 / 3)
    assert p99.met is None
    assert p99.name == "whole, p99"
    rate = Contrast(name="best", unit="/s", direct=900.0, litellm=50.0, ringback=200.0, additive=False)
    assert rate.ratio == 4
    assert rate.added(rate.litellm) is None
    assert Contrast(name="worker", unit="MiB", ringback=70.0).ratio is None


def test_where_the_other_adds_nothing_there_is_no_ratio_and_no_target_is_met() -> None:
    row = Contrast(name="x", unit="ms", direct=10.0, litellm=9.0, ringback=12.0, target=Target(at_most=1.0))
    assert row.ratio is not None
    assert math.isnan(row.ratio)
    assert row.met is False
    assert msgspec.json.decode(msgspec.json.encode(row.document()))["ratio"] is None


def test_the_table_tells_both_and_what_was_not_met() -> None:
    row = Contrast(name="x", unit="ms", direct=1.0, litellm=5.0, ringback=7.0, target=Target(at_most=1.0), note="n=3")
    title, how, _, line = section("(a) Things", ("How.",), [row]).rstrip().splitlines()
    assert (title, how.strip()) == ("(a) Things", "How.")
    cells = ["x", "1.00 ms", "5.00 ms", "+4.00 ms", "7.00 ms", "+6.00 ms", "x1.50", "<= x1.00", "NOT MET", "n=3"]
    assert re.split(r"\s{2,}", line.strip()) == cells


def test_the_lock_holds_no_hijacked_release_and_no_address() -> None:
    lock = (ROOT / "requirements" / "litellm.txt").read_text(encoding="utf-8")
    (found,) = re.findall(r"^litellm==(\S+)", lock, re.MULTILINE)
    assert found not in ("1.82.7", "1.82.8", "1.107.0")
    assert "://" not in lock
    assert lock.count("--hash=sha256:") > lock.count("==")
