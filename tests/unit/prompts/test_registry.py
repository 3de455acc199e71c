"""The registry: the built-in types, and a user's directory on top."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from jobs import errors
from prompts import registry
from tests.unit.prompts.sample import CHAT, TRIAGE

BUILT_IN = ["generate", "inquiry", "soften", "speak", "summarize", "text_turn", "transcribe", "voice_turn"]


def test_the_catalog_alone() -> None:
    assert list(registry.load(None).types) == BUILT_IN


def test_a_directory_adds_and_overrides(tmp_path: Path) -> None:
    (tmp_path / "b.md").write_text(TRIAGE)
    (tmp_path / "a.md").write_text(CHAT.replace("name: chat", "name: soften"))
    (tmp_path / "notes.txt").write_text("not a prompt")
    (tmp_path / ".draft.md").write_text("not a prompt either")
    types = registry.load(tmp_path).types
    assert list(types) == sorted([*BUILT_IN, "triage"])
    assert types["soften"].description == "Talk as our shop does."


def test_a_type_says_where_it_comes_from(tmp_path: Path) -> None:
    (tmp_path / "b.md").write_text(TRIAGE)
    triage = registry.load(tmp_path).get("triage")
    assert (triage.ref.name, triage.ref.version) == ("triage", "7")
    assert triage.ref.sha256 == hashlib.sha256((tmp_path / "b.md").read_bytes()).hexdigest()
    assert (triage.model, triage.settings.temperature, triage.settings.max_tokens) == ("fast", 0.5, 100)
    assert triage.input_schema["additionalProperties"] is False
    assert triage.output_schema["required"] == ["label"]


def test_an_unknown_type_names_the_known_ones() -> None:
    with pytest.raises(errors.UnknownJobType) as caught:
        registry.load(None).get("sumarize")
    assert caught.value.errors[0].pointer == "#/type"
    assert caught.value.errors[0].detail == f"unknown job type 'sumarize'; known: {', '.join(BUILT_IN)}"


def test_types_cannot_be_changed() -> None:
    types = registry.load(None).types
    with pytest.raises(TypeError):
        types["x"] = types["soften"]  # type: ignore[index]
    with pytest.raises(AttributeError):
        types["soften"].name = "x"  # type: ignore[misc]


def test_one_name_twice_in_a_directory(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(TRIAGE)
    (tmp_path / "b.md").write_text(TRIAGE)
    with pytest.raises(errors.ConfigurationError) as caught:
        registry.load(tmp_path)
    assert caught.value.detail == f"{tmp_path / 'b.md'}:2: name: 'triage' is already the name of a.md"


def test_the_directory_must_be_there(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere", Path(__file__)):
        with pytest.raises(errors.ConfigurationError, match=f"prompts directory {path}: "):
            registry.load(path)


def test_a_file_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "gone.md").symlink_to(tmp_path / "nowhere")
    with pytest.raises(errors.ConfigurationError, match=r"gone\.md:1: cannot be read: No such file"):
        registry.load(tmp_path)


def test_the_catalog_is_in_the_wheel(tmp_path: Path) -> None:
    root = Path(registry.__file__).parent.parent
    built = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(built, cwd=root, check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"prompts/catalog/{name}.md" for name in BUILT_IN} <= set(names)
