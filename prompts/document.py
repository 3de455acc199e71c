"""A prompt file as text: YAML front matter and body sections, each with the line on which it stands."""

import hashlib
import re
from pathlib import Path as FilePath
from typing import Any

import msgspec
import yaml

from jobs import errors
from prompts.problem import Path

SECTIONS = ("system", "user")
_HEADING = re.compile(r"#\s*(system|user|assistant)\s*:?\s*", re.IGNORECASE)

_JSON_TYPES = ("bool", "float", "int", "null", "str", "seq", "map")
_TAGS = {f"tag:yaml.org,2002:{name}" for name in _JSON_TYPES}


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the C one where it was built
    """YAML whose plain words mean what they mean in JSON: no `on`, no `1:30`, no dates, no octal numbers."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own way to set them


for _tag, _form, _first in (
    ("bool", r"true|false", "tf"),
    ("null", r"null|~|", ["n", "~", ""]),
    ("int", r"-?(?:0|[1-9][0-9]*)", "-0123456789"),
    ("float", r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?", "-0123456789"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_form})\Z"), list(_first))


class Section(msgspec.Struct, frozen=True):
    """The text under one heading of the body; `line` is that of its first line."""

    text: str
    line: int


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt file, taken apart but not yet understood."""

    path: FilePath
    sha256: str
    """Of the file's bytes, in hexadecimal."""
    head: dict[str, Any]
    """The front matter: JSON values only."""
    lines: dict[Path, int]
    """On which line of the file each value of the front matter stands."""
    sections: dict[str, Section]

    def error(self, path: Path, reason: str) -> errors.ConfigurationError:
        """The error for what is wrong at `path` of the front matter."""
        known = next(path[:length] for length in range(len(path), -1, -1) if path[:length] in self.lines)
        name = ".".join(str(part) for part in path)
        return at_line(self.path, self.lines[known], f"{name}: {reason}" if name else reason)


def at_line(path: FilePath, line: int, reason: str) -> errors.ConfigurationError:
    """The error for what is wrong on a line (from 1) of a prompt file."""
    return errors.ConfigurationError(f"{path}:{line}: {reason}")


def read(path: FilePath) -> Document:
    """The prompt file at `path`; raises `errors.ConfigurationError` with its name, the line and the reason."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise at_line(path, 1, f"cannot be read: {error.strerror}") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise at_line(path, content.count(b"\n", 0, error.start) + 1, "is not valid UTF-8") from error
    lines = text.replace("\r\n", "\n").split("\n")
    if lines[0].rstrip() != "---":
        raise at_line(path, 1, "must start with a line ---, then YAML, then another line ---")
    end = next((number for number, line in enumerate(lines[1:], 1) if line.rstrip() == "---"), None)
    if end is None:
        raise at_line(path, 1, "the front matter has no closing line ---")
    head, positions = _front_matter(path, "\n".join(lines[1:end]))
    return Document(
        path=path,
        sha256=hashlib.sha256(content).hexdigest(),
        head=head,
        lines=positions,
        sections=_sections(path, lines, end + 1),
    )


def _front_matter(path: FilePath, text: str) -> tuple[dict[str, Any], dict[Path, int]]:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise at_line(path, 1, "the front matter must be a YAML mapping: name, description, version, input, output")
        positions: dict[Path, int] = {(): 1}
        _locate(path, node, (), positions, set())
        return loader.construct_document(node), positions
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 2 if error.problem_mark else 1
        raise at_line(path, line, f"not valid YAML: {error.problem or error.context}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 2
        raise at_line(path, line, f"not valid YAML: {error.reason}") from error
    finally:
        loader.dispose()


def _locate(path: FilePath, node: yaml.Node, at: Path, positions: dict[Path, int], seen: set[int]) -> None:
    """Notes the line of every value under `node`; refuses what is not JSON, and what YAML would silently swallow."""
    line = node.start_mark.line + 2
    if id(node) in seen:
        raise at_line(path, line, "YAML aliases are not supported; write the value again")
    seen.add(id(node))
    if node.tag not in _TAGS:
        raise at_line(path, line, f"the YAML tag {node.tag} is not supported")
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            positions[*at, index] = item.start_mark.line + 2
            _locate(path, item, (*at, index), positions, seen)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = key.start_mark.line + 2
            if key.tag != "tag:yaml.org,2002:str":
                raise at_line(path, here, "keys must be strings; write it in quotes")
            if (*at, key.value) in positions:
                raise at_line(path, here, f"{key.value} is there twice")
            positions[*at, key.value] = here
            _locate(path, value, (*at, key.value), positions, seen)


def _sections(path: FilePath, lines: list[str], start: int) -> dict[str, Section]:
    """The body's sections by name; `start` is the index of the body's first line."""
    found: dict[str, tuple[int, list[str]]] = {}
    current: list[str] | None = None
    for number, line in enumerate(lines[start:], start + 1):
        heading = line.rstrip()
        if heading in ("# system", "# user"):
            name = heading.removeprefix("# ")
            if name in found:
                raise at_line(path, number, f"there is already a section '# {name}' on line {found[name][0] - 1}")
            current = []
            found[name] = (number + 1, current)
        elif _HEADING.fullmatch(heading):
            raise at_line(path, number, "sections are headed exactly '# system' or '# user'")
        elif current is not None:
            current.append(line)
        elif heading:
            raise at_line(path, number, "text must stand in a section '# system' or '# user'")
    return {name: Section("\n".join(text), line) for name, (line, text) in found.items()}
