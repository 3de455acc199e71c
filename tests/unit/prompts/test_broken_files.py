"""A broken prompt file stops the start, with its name, its line and the reason."""

from pathlib import Path

import pytest

from jobs import errors
from prompts import document
from tests.unit.prompts.sample import CHAT, TRIAGE, load


def refused(path: Path, text: str | bytes) -> tuple[int, str]:
    """Line and reason for which a file with this text is refused."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(errors.ConfigurationError) as caught:
        load(path, path.read_text("utf-8")) if isinstance(text, str) else document.read(path)
    file, line, reason = caught.value.detail.split(":", 2)
    assert file == str(path)
    return int(line), reason.strip()


def line_of(text: str, needle: str) -> int:
    return text[: text.index(needle)].count("\n") + 1


SAMPLES = {"triage": TRIAGE, "chat": CHAT}

CASES = [
    # (file, what to replace, by what, what stands on the line that is named, the reason)
    ("triage", 'version: "7"', "version: 7", "version: 7", "version: must be a string (is a number)"),
    ("triage", 'version: "7"\n', "", "---", "version: is required"),
    ("triage", 'version: "7"', "version: [", "input:", "not valid YAML"),
    ("triage", 'version: "7"', 'version: "7"\nname: x', "name: x", "name is there twice"),
    ("triage", 'version: "7"', 'version: "7"\nvertion: x', "vertion", "unknown field; known: name, description"),
    ("triage", 'version: "7"', "version: &v '7'\nmodel: *v", "version", "aliases are not supported"),
    ("triage", 'version: "7"', "version: !!binary aGk=", "version", "tag"),
    ("triage", "name: triage", "name: Triage!", "name: Triage!", "name: must match ^[a-z]"),
    ("triage", "name: triage", "1: triage", "1: triage", "keys must be strings"),
    ("triage", "Sort a ticket.", "''", "description", "must not be blank"),
    ("triage", "temperature: 0.5", "temperature: 3", "temperature: 3", "settings.temperature: must be at most 2"),
    ("triage", "temperature: 0.5", "temprature: 0.5", "temprature", "unknown field; known: temperature, max_tokens"),
    ("triage", "hours: {type: integer, minimum: 1}", "hours: {type: int}", "hours: {", "must be one of: array, bool"),
    ("triage", "hours: {type: integer, minimum: 1}", "hours: {type: integer, minimun: 1}", "hours: {", "unknown JSON"),
    ("triage", r"'\S', maxLength", r"'(?=a)', maxLength", "text: {", "must be a valid regular expression"),
    ("triage", "hours: {type", "fence: {type", "fence: {", "is a word of the template language"),
    ("triage", "hours: {type", "Hours: {type", "Hours: {", "is not an allowed name"),
    ("triage", "required: [text]", "required: [text, txt]", "required: [text", "'txt' is not among the properties"),
    ("triage", "default: false", "default: soon", "urgent: {", "must be a boolean (is a string)"),
    ("triage", "minimum: 1}", "minimum: 1, examples: [2, 0]}", "hours: {", "examples.1: must be at least 1"),
    ("triage", "  required: [text]", "  required: [text]\n  additionalProperties: true", "additional", "must be false"),
    ("triage", "  required: [text]", "  examples: [{}]\n  required: [text]", "examples:", "#/input/text: is required"),
    ("triage", "notes:\n      type: array\n      items: {type: string}", "notes: {$ref: http://x/y}", "notes:", "$ref"),
    ("triage", "  schema:\n    type: object", "  schema:\n    type: string", "    type: string", "must be object"),
    ("triage", "output:\n  schema:", "output:\n  text: x\n  schema:", "output:", "give `text`, or `schema`, or all"),
    ("triage", "settings:", "settings_from: [hours]\nsettings:", "settings_from", "must be one of: temperature"),
    ("triage", "settings:", "settings_from: [top_p]\nsettings:", "settings_from", "input field of type number"),
    ("triage", "{{ team }}", "{{ teem }}", "for {{ teem", "'teem' is not an input field; known:"),
    ("triage", "{{ team }}", "{{ team }", "for {{ team }", "unexpected"),
    ("triage", "{{ team }}", "{{ team | shout }}", "for {{ team |", "unknown filter 'shout'; known: fenced, join"),
    ("triage", "{{ team }}", "{{ team.upper() }}", "for {{ team.", "call is not available"),
    ("triage", "{{ team }}", "{{ 9 ** 9 }}", "for {{ 9", "pow is not available"),
    ("triage", "{% if team %}", "{% if team is odd %}", "{% if team", "unknown test 'odd'; known: none"),
    ("triage", "{% if team %}", "{% set x = text %}{% if team %}", "{% set", "{% assign %} is not available"),
    ("triage", "{% if team %}", "{% include 'x' %}{% if team %}", "{% include", "{% include %} is not available"),
    ("triage", "{% if team %}", "{% if hours > 3 %}", "{% if hours > 3", "'hours' is optional"),
    ("triage", "{% if team %}", "{% if not team %}", "It is for {{ team", "'team' is optional"),
    ("triage", "{% if team %}", "{% if team or hours %}", "It is for {{ team", "'team' is optional"),
    ("triage", "It is for {{ team }}.", "{{ text }}", "{{ text }}", "must not get into the system part"),
    ("triage", "It is for {{ team }}.", "{{ text | fenced }}", "{{ text |", "must not get into the system part"),
    (
        "triage",
        "It is for {{ team }}.",
        "{{ order.id if order else 1 }}",
        "{{ order.id if",
        "must not get into the system part",
    ),
    ("triage", "It is for {{ team }}.", "{% for c in text %}{% endfor %}", "{% for c", "must not get into the system"),
    ("triage", ' else "Take your time."', "", '{{ "Hurry."', "needs an else"),
    ("triage", "{{ text | fenced }}", "{{ text }}", "{{ text }}", "print it as {{ text | fenced }}"),
    ("triage", "{{ text | fenced }}", "{{ text | fenced | upper }}", "{{ text |", "print it as {{ text | fenced }}"),
    ("triage", "{{ text | fenced }}", "{{ (text | fenced) ~ text }}", "{{ (text", "print it as"),
    ("triage", "{{ text | fenced }}", "{{ text if urgent else 1 }}", "{{ text if", "print it as"),
    ("triage", "{{ note | fenced }}", "{{ note }}", "Note {{", "'note' holds text of the caller's"),
    ("triage", "in notes or []", "in notes", "{% for note", "'notes' is optional"),
    ("triage", "for note in", "for fence in", "{% for fence", "needs a name of its own"),
    ("triage", "Note {{ loop", "{% for a in [1] %}{% endfor %}{{ loop", "{% for a", "a loop within a loop"),
    ("triage", "# user\n", "# User\n", "# User", "headed exactly"),
    ("triage", "# user\n", "# system\n", "# system\n{{ text", "there is already a section"),
    ("triage", "# system\n", "Hello\n# system\n", "Hello", "text must stand in a section"),
    ("chat", "You speak", "{{ fence }} You speak", "{{ fence", "'fence' is not an input field"),
    ("chat", "You speak", "{{ messages }} You speak", "{{ messages", "must not get into the system part"),
    ("chat", "enum: [user, assistant]", "enum: [system, user]", "conversation:", "must not have the role system"),
    ("chat", "enum: [user, assistant]", "enum: [human]", "conversation:", "its items must be objects"),
    ("chat", "{messages: messages}", "{messages: language}", "conversation:", "input field of type array"),
    ("chat", "{messages: messages}", "{messages: messages, prompt: q}", "conversation:", "input field of type string"),
    (
        "chat",
        "output: {text: reply}",
        "output: {text: reply, data: d, schema_from: language}",
        "output:",
        "type object",
    ),
    ("chat", "# system", "# user\nHi\n# system", "# user", "the caller brings the conversation"),
]


@pytest.mark.parametrize(("file", "old", "new", "on_line", "reason"), CASES, ids=[f"{c[0]}: {c[4]}" for c in CASES])
def test_names_file_line_and_reason(tmp_path: Path, file: str, old: str, new: str, on_line: str, reason: str) -> None:
    text = SAMPLES[file]
    assert old in text
    broken = text.replace(old, new, 1)
    line, said = refused(tmp_path / "broken.md", broken)
    assert reason in said
    assert line == line_of(broken, on_line)


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_the_samples_themselves_load(tmp_path: Path, sample: str) -> None:
    assert load(tmp_path / "ok.md", sample).name in SAMPLES


def test_a_schema_from_the_input_needs_a_conversation_that_is_all_the_callers(tmp_path: Path) -> None:
    asked = "output: {text: reply, data: d, schema_from: form}"
    text = CHAT.replace("output: {text: reply}", asked).replace(
        "    language:", "    form: {type: object}\n    language:"
    )
    line, reason = refused(tmp_path / "broken.md", text)
    assert line == line_of(text, "output:")
    assert "only a conversation whose system part is the caller's" in reason


def test_a_file_without_user_part(tmp_path: Path) -> None:
    assert refused(tmp_path / "x.md", TRIAGE[: TRIAGE.index("# user")]) == (
        1,
        "the section '# user' is missing or empty",
    )


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        (b"", 1, "must start with a line ---"),
        (b"# user\nhello", 1, "must start with a line ---"),
        (b"---\nname: x\n", 1, "no closing line ---"),
        (b"---\n---\n", 1, "must be a YAML mapping"),
        (b"---\nname: x\ndescription: \xff\n---\n", 3, "is not valid UTF-8"),
        (b"---\nname: x\ndescription: \x01\n---\n", 3, "not valid YAML"),
    ],
)
def test_what_is_no_prompt_file_at_all(tmp_path: Path, content: bytes, line: int, reason: str) -> None:
    got_line, got = refused(tmp_path / "x.md", content)
    assert (got_line, reason in got) == (line, True), got


def test_yaml_means_what_json_means(tmp_path: Path) -> None:
    (tmp_path / "x.md").write_text("---\na: on\nb: 1:30\nc: 2026-01-01\nd: 010\ne: 1e3\nf:\ng: true\nh: -2\n---\n")
    assert document.read(tmp_path / "x.md").head == {
        "a": "on",
        "b": "1:30",
        "c": "2026-01-01",
        "d": "010",
        "e": 1000.0,
        "f": None,
        "g": True,
        "h": -2,
    }


def test_windows_files_are_the_same_files(tmp_path: Path) -> None:
    unix = load(tmp_path / "unix.md")
    (tmp_path / "windows.md").write_bytes(b"\xef\xbb\xbf" + TRIAGE.replace("\n", "\r\n").encode())
    document_of = document.read(tmp_path / "windows.md")
    assert document_of.head["name"] == unix.name
    assert "\r" not in document_of.sections["user"].text
