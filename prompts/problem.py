"""What is wrong with a value, in words for whoever has to mend it."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import jsonschema_rs
import msgspec

Path = tuple[str | int, ...]
"""The keys and indexes that lead from a document's root to a value in it."""

_SAFE = "!$&'()*+,;=:@?"
"""What may stand in a URI fragment as it is, besides letters and digits."""
_ECHO_LIMIT = 64
"""Characters of a caller's field name that are repeated to him."""


class Problem(msgspec.Struct, frozen=True):
    """One thing wrong with a value. The detail repeats nothing of the value but its kind and size."""

    path: Path
    detail: str


def pointer(path: Path) -> str:
    """`path` as a JSON pointer in URI fragment form (RFC 6901): `#/input/text`. Very long names are cut."""
    return "#" + "".join("/" + quote(_cut(str(part)).replace("~", "~0").replace("/", "~1"), _SAFE) for part in path)


def _cut(name: str) -> str:
    return name if len(name) <= _ECHO_LIMIT else name[: _ECHO_LIMIT - 1] + "…"


def at(document: Any, path: Path) -> Any:
    """What is at `path` in `document`; `None` where there is nothing."""
    for part in path:
        if isinstance(document, dict):
            document = document.get(part)
        elif isinstance(document, list):
            document = document[part] if isinstance(part, int) and part < len(document) else None
        else:
            return None
    return document


def explain(error: jsonschema_rs.ValidationError, schema: Mapping[str, Any], value: Any) -> list[Problem]:
    """What `error`, found in `value` by `schema`, means: mostly one problem, one for each of several unknown fields."""
    path, rule = tuple(error.instance_path), tuple(error.schema_path)
    facts = error.kind.as_dict()
    match error.kind.name:
        case "required":
            return [Problem((*path, facts["property"]), "is required")]
        case "additionalProperties" | "unevaluatedProperties":
            known = _known(at(schema, rule[:-1]))
            return [Problem((*path, name), f"unknown field{known}") for name in facts["unexpected"]]
        case "falseSchema" if rule[-1:] == ("additionalProperties",) and isinstance(inner := at(value, path), dict):
            return [Problem((*path, name), "unknown field; there are none") for name in inner]
        case "propertyNames":
            name = str(facts["error"].instance)
            return [Problem((*path, name), f"is not an allowed name: {rule_broken(facts['error'], name)}")]
        case "oneOf" | "anyOf" as keyword:
            names = _required_of(at(schema, rule))
            if names:
                some = "exactly one" if keyword == "oneOf" else "at least one"
                return [Problem((*path, names[0]), f"give {some} of: {', '.join(names)}")]
    return [Problem(path, rule_broken(error, at(value, path)))]


def _known(parent: Any) -> str:
    names = ", ".join(parent.get("properties", {})) if isinstance(parent, dict) else ""
    return f"; known: {names}" if names else ""


def _required_of(branches: Any) -> list[str]:
    """The field names, if each branch of a oneOf or anyOf says nothing but which fields are required."""
    if not isinstance(branches, list) or not all(isinstance(b, dict) and b.keys() == {"required"} for b in branches):
        return []
    return [" and ".join(branch["required"]) for branch in branches]


def kind_of(value: Any) -> str:
    """The JSON type of `value`, with its article, as one says it."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case int() | float():
            return "a number"
        case list() | tuple():
            return "an array"
        case _:
            return "an object"


_ARTICLES = {"null": "null", "array": "an array", "integer": "an integer", "object": "an object"}


def rule_broken(error: jsonschema_rs.ValidationError, value: Any) -> str:
    """One rule that is not kept, as an instruction."""
    facts = error.kind.as_dict()
    limit = facts.get("limit")
    size = len(value) if isinstance(value, str | list | tuple | dict) else 0
    match error.kind.name:
        case "type":
            wanted = " or ".join(_ARTICLES.get(name, f"a {name}") for name in facts["types"])
            return f"must be {wanted} (is {kind_of(value)})"
        case "maxLength":
            return f"must be at most {limit} characters (is {size})"
        case "minLength":
            return "must not be empty" if size == 0 else f"must be at least {limit} characters (is {size})"
        case "pattern":
            return "must not be blank" if facts["pattern"] == r"\S" else f"must match {facts['pattern'][:200]}"
        case "enum":
            return f"must be one of: {_options(facts['options'])}"
        case "const":
            return f"must be {_options([facts['expected_value']])}"
        case "maximum":
            return f"must be at most {limit}"
        case "minimum":
            return f"must be at least {limit}"
        case "exclusiveMaximum":
            return f"must be less than {limit}"
        case "exclusiveMinimum":
            return f"must be greater than {limit}"
        case "multipleOf":
            return f"must be a multiple of {facts['multiple_of']}"
        case "maxItems" | "maxProperties":
            return f"must have at most {limit} entries (has {size})"
        case "minItems" | "minProperties":
            return f"must have at least {limit} entries (has {size})"
        case "uniqueItems":
            return "must not have equal entries"
        case "format":
            return f"must be a valid {facts['format']}"
        case "anyOf" | "oneOf":
            return "does not fit any of the allowed forms, or more than one"
        case "not" | "falseSchema":
            return "is not allowed here"
        case other:
            return f"does not fit the schema's {other}"


def _options(options: Sequence[Any]) -> str:
    shown = [option if isinstance(option, str) else msgspec.json.encode(option).decode() for option in options]
    text = ", ".join(shown)
    return text if len(text) <= 400 else text[:399] + "…"
