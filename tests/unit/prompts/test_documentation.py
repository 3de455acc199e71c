"""docs/prompts.md tells the truth: its prompt file loads, its program runs, its table matches the catalog."""

import json
import re
from pathlib import Path

import pytest

from prompts import registry
from prompts.definition import FRONT_MATTER
from prompts.template import ENVIRONMENT

PAGE = (Path(registry.__file__).parent.parent / "docs" / "prompts.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my-prompts").mkdir()
    (tmp_path / "my-prompts" / "triage.md").write_text(block("markdown"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    exec(compile(block("python"), "docs/prompts.md", "exec"), {})  # noqa: S102 - running it is the point


def test_the_requests_are_valid() -> None:
    requests = [json.loads(found) for found in re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)]
    assert len(requests) == 3
    for body in requests:
        registry.load().get(body["type"]).validate(body["input"])


def test_every_key_of_the_front_matter_is_described() -> None:
    described = re.findall(r"^\| `([a-z_]+)` \| ", PAGE.split("## Front matter")[1].split("## Body")[0], re.MULTILINE)
    assert set(described) == set(FRONT_MATTER["properties"])


def test_every_filter_is_named() -> None:
    assert all(f"`{name}`" in PAGE for name in ENVIRONMENT.filters)


def test_the_built_in_types_are_as_described() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \|$", PAGE.split("## Built-in types")[1], re.MULTILINE)
    types = registry.load(None).types
    assert {name for name, _, _ in rows} == types.keys()
    for name, fields, output in rows:
        assert re.findall(r"`(\w+)`", fields) == list(types[name].input_schema["properties"])
        shapes = types[name].output_schema.get("oneOf", [types[name].output_schema])
        assert re.findall(r"\{(.+?)\}", output) == [", ".join(shape["properties"]) for shape in shapes]
