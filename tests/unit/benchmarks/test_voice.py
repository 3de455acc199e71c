"""The benchmark of turns by voice runs from end to end, with a stand-in for pipecat; and what its numbers mean."""

import math
import re
import stat
import sys
from functools import partial
from pathlib import Path

import pytest

from benchmarks.figures import Target
from benchmarks.voice import report, sides
from benchmarks.voice.__main__ import run
from benchmarks.voice.rounds import Measured, Scale
from benchmarks.voice.script import BY_MODEL, SCRIPTS, SENTENCE_TOKENS, SENTENCES, Script
from benchmarks.voice.sides import Heard
from speech.segmentation import Segmenter

TINY = Scale(rounds={1: 1, 2: 1}, warm=0, spread_s=0.1, breath_s=0.01)
ROOT = Path(__file__).resolve().parents[3]


def installed(directory: Path) -> Path:
    """An environment whose Python runs the stand-in, whatever it is told to run."""
    packages = directory / "lib" / "python3.11" / "site-packages" / "pipecat_ai-9.9.9.dist-info"
    packages.mkdir(parents=True)
    (packages / "METADATA").write_text("Metadata-Version: 2.1\nName: pipecat-ai\nVersion: 9.9.9\n", encoding="utf-8")
    python = directory / "bin" / "python"
    python.parent.mkdir()
    stand_in = Path(__file__).with_name("stand_in_voice.py")
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P "{stand_in}"\n', encoding="utf-8")
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    return directory


async def test_every_measurement_tells_numbers_of_both(tmp_path: Path) -> None:
    told: list[str] = []
    found = await run(TINY, [BY_MODEL["ko-clause"]], told.append, environment=installed(tmp_path))
    section = found["ko-clause"]
    assert section.failure == ""
    assert [(row.at_once, row.name) for row in section.rows] == [
        (1, "first audio"),
        (1, "last audio"),
        (2, "first audio"),
        (2, "last audio"),
    ]
    assert [row.turns for row in section.rows[::2]] == [{"ringback": 1, "pipecat": 1}, {"ringback": 2, "pipecat": 2}]
    assert {round(row.p50["pipecat"]) for row in section.rows} == {1100, 2000}
    script = BY_MODEL["ko-clause"]
    own = script.own_floor(partial(Segmenter, script.language, clause_first=True))
    least = {"first audio": own.first_audio_s * 1000, "last audio": script.floor.last_audio_s * 1000}
    # The vendors take what they take: nothing is heard before, but for what their clocks round.
    assert all(least[row.name] - 5 <= row.p50["ringback"] <= row.p90["ringback"] for row in section.rows)
    assert not [stage.name for stage in section.stages if math.isnan(stage.reached)]
    assert all(stage.step is None or stage.step > 0 for stage in section.stages)
    text = "\n".join(told)
    assert all(part in text for part in ("pipecat p50", "Where it goes", "CPU of a turn", "late of the vendors' own"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.model)
def test_the_floor_follows_from_what_the_vendors_take(script: Script) -> None:
    floor = script.floor
    assert len(script.tokens) == SENTENCES * SENTENCE_TOKENS
    assert all(end.endswith((".", "?")) for end in script.tokens[SENTENCE_TOKENS - 1 :: SENTENCE_TOKENS])
    assert floor.transcript_s == 0.3
    assert floor.first_token_s == pytest.approx(0.6)
    assert floor.first_audio_s == pytest.approx(0.6 + 14 * 0.02 + 0.15)
    assert floor.last_audio_s == pytest.approx(0.6 + 59 * 0.02 + 0.15)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.model)
def test_what_is_spoken_first_is_what_the_script_is_there_for(script: Script) -> None:
    own = script.own_floor(partial(Segmenter, script.language, clause_first=True))
    whole = script.own_floor(partial(Segmenter, script.language))
    if script.clause:
        assert own.first_audio_s < script.floor.first_audio_s
    else:
        assert own == whole
    # An end that is certain at once is spoken at once; an English one takes the next token.
    assert whole.first_audio_s == pytest.approx(script.floor.first_audio_s + (0 if script.certain else 0.02))
    assert own.last_audio_s == script.floor.last_audio_s


def test_a_target_is_for_what_ringback_takes_over_the_floor() -> None:
    row = report.Row(
        script="x",
        at_once=1,
        name="first audio",
        floor=1030.0,
        p50={"ringback": 1050.0},
        p90={"ringback": 1060.0},
        turns={"ringback": 3},
        target=Target(at_most=25.0),
    )
    assert row.met
    line = report.compared(SCRIPTS[0], [row]).splitlines()[-1]
    cells = ["1", "first audio", "1030.0 ms", "1050.0 ms", "+20.0 ms", "1060.0 ms", "+30.0 ms", *"----"]
    assert re.split(r"\s{2,}", line.strip()) == [*cells, "<= +25 ms", "met", "3"]


def test_one_disturbed_round_does_not_move_the_median() -> None:
    def heard(*seconds: float) -> list[Heard]:
        return [Heard(first_audio_s=second, last_audio_s=second) for second in seconds]

    measured = Measured(rounds=[heard(1.0, 1.1), heard(1.1, 1.2), heard(9.0, 9.9)])
    assert measured.p50(lambda turn: turn.first_audio_s) == 1.1
    assert measured.p90(lambda turn: turn.first_audio_s) == 9.9
    assert measured.count == 6


def test_an_installation_tells_its_version(tmp_path: Path) -> None:
    assert sides.installed(tmp_path) is None
    assert sides.installed(installed(tmp_path / "environment")) == "9.9.9"


def test_the_lock_holds_wheels_and_no_address() -> None:
    lock = (ROOT / "requirements" / "pipecat.txt").read_text(encoding="utf-8")
    names = re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE)
    assert "pipecat-ai" in names
    assert not {"torch", "docopt"} & set(names)
    assert "://" not in lock
    assert lock.count("--hash=sha256:") > lock.count("==")
