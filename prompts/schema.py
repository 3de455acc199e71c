"""JSON Schemas of prompt files and of callers: compiled once, bounded in size and work, with problems in plain words.

Whatever a schema says, checking a value against it is cheap: patterns run on a linear-time engine (no look-around, no
back-references), references stay inside the document and never recurse, and the number of rules is limited.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

import jsonschema_rs
import msgspec

from prompts.problem import Path, Problem, at, explain, rule_broken

SIZE_LIMIT = 32 * 1024
"""Bytes of compact JSON that one schema may be."""
RULES_LIMIT = 1_000
"""Subschemas that one schema may consist of, each counted as often as it is referred to."""
REPORT_LIMIT = 20
"""Problems named for one value."""
_WORK_LIMIT = 20_000
"""Values times rules up to which all problems of a value are sought; above, only the first one."""
_ONE = (
    "additionalItems",
    "additionalProperties",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
)
_MANY = ("allOf", "anyOf", "items", "oneOf", "prefixItems")
_NAMED = ("$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties")
_UNBOUNDED = ("$anchor", "$dynamicAnchor", "$dynamicRef", "$id", "$recursiveAnchor", "$recursiveRef", "id")
_ANNOTATIONS = frozenset({"$comment", "default", "deprecated", "description", "examples", "title"})
_PLAIN = (
    *("$comment", "$ref", "$schema", "const", "contentEncoding", "contentMediaType", "default", "dependentRequired"),
    *("deprecated", "description", "enum", "examples", "exclusiveMaximum", "exclusiveMinimum", "format", "maxContains"),
    *("maxItems", "maxLength", "maxProperties", "maximum", "minContains", "minItems", "minLength", "minProperties"),
    *("minimum", "multipleOf", "pattern", "readOnly", "required", "title", "type", "uniqueItems", "writeOnly"),
)
KEYWORDS = frozenset({*_ONE, *_MANY, *_NAMED, *_PLAIN})
"""The keywords that a prompt file may use; others are taken for typing errors, but for those that start with `x-`."""
_DRAFT = re.compile(r"https?://json-schema\.org/(draft-0[467]/schema|draft/(2019-09|2020-12)/schema)#?")
_NO_DRAFT = "has a $schema that is not one of JSON Schema's own"


class SchemaInvalid(Exception):
    """A schema cannot be used; `problem.path` leads to the offending place in it."""

    def __init__(self, path: Path, detail: str) -> None:
        self.problem = Problem(path, detail)
        super().__init__(detail)


class Schema:
    """A compiled schema; immutable."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Compiles `document` (JSON Schema 2020-12, or the draft that its `$schema` names); raises `SchemaInvalid`."""
        self.document = dict(document)
        _check_size(self.document)
        try:
            self._rules = _Rules(self.document).count(self.document)
            if self._rules > RULES_LIMIT:
                raise SchemaInvalid((), f"has too many rules: more than {RULES_LIMIT}, references expanded")
            self._validator = jsonschema_rs.validator_for(
                self.document,
                mask="value",
                offline=True,
                validate_formats=True,
                pattern_options=jsonschema_rs.RegexOptions(size_limit=1_000_000, dfa_size_limit=1_000_000),
            )
        except jsonschema_rs.ValidationError as error:
            raise _not_a_schema(error, self.document) from error
        except (ValueError, RecursionError) as error:
            raise SchemaInvalid((), "is nested too deeply") from error
        self._explains_fully = not any(_branches(part) for _, part in subschemas(self.document))

    def problems(self, value: Any) -> list[Problem]:
        """What is wrong with `value`, at most `REPORT_LIMIT` problems; empty when it fits."""
        try:
            if self._validator.is_valid(value):
                return []
            if _size(value, _WORK_LIMIT // self._rules) is None:
                return self._first(value)
            found = (p for error in self._validator.iter_errors(value) for p in explain(error, self.document, value))
            return [problem for problem, _ in zip(found, range(REPORT_LIMIT), strict=False)]
        except (ValueError, RecursionError):
            return [Problem((), "is nested too deeply or is not valid Unicode text")]

    @property
    def names(self) -> frozenset[str]:
        """Every field name that the schema itself gives."""
        parts = [part for _, part in subschemas(self.document)]
        return frozenset(name for part in parts for key in ("properties", "required") for name in part.get(key, ()))

    def inlined(self) -> dict[str, Any]:
        """The same schema without references, for use inside another document."""
        return dict(_inlined(self.document, self.document))

    def _first(self, value: Any) -> list[Problem]:
        """One problem of a value so large that seeking all of them would take too long."""
        if self._explains_fully:
            try:
                self._validator.validate(value)
            except jsonschema_rs.ValidationError as error:
                return explain(error, self.document, value)[:REPORT_LIMIT]
        return [Problem((), "does not fit the schema, and is too large to say where")]


def check_document(document: Mapping[str, Any]) -> None:
    """Raises `SchemaInvalid` if `document` is no JSON Schema of at most `SIZE_LIMIT` bytes.

    Less is asked of it than of a `Schema`: it is passed on, and no value is ever checked against it.
    """
    _check_size(document)
    # The library would look for any other one on the network.
    if not _DRAFT.fullmatch(str(document.get("$schema", "https://json-schema.org/draft/2020-12/schema"))):
        raise SchemaInvalid(("$schema",), _NO_DRAFT)
    try:
        jsonschema_rs.meta.validate(dict(document))
    except jsonschema_rs.ValidationError as error:
        raise _not_a_schema(error, document) from error
    except (ValueError, RecursionError) as error:
        raise SchemaInvalid((), "is nested too deeply") from error


def _check_size(document: Mapping[str, Any]) -> None:
    try:
        encoded = len(msgspec.json.encode(document))
    except (ValueError, TypeError, RecursionError) as error:
        raise SchemaInvalid((), f"is not JSON: {type(error).__name__}") from error
    if encoded > SIZE_LIMIT:
        raise SchemaInvalid((), f"must be at most {SIZE_LIMIT} bytes of JSON (is {encoded})")


def subschemas(document: Any, path: Path = ()) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every object in `document` that stands where a schema does, with its path, the outermost first."""
    if not isinstance(document, dict):
        return
    yield path, document
    for place, part in _children(document):
        yield from subschemas(part, (*path, *place))


def _children(schema: Mapping[str, Any]) -> Iterator[tuple[Path, Any]]:
    for keyword, value in schema.items():
        if keyword in _NAMED and isinstance(value, dict):
            yield from (((keyword, name), part) for name, part in value.items())
        elif keyword in _MANY and isinstance(value, list):
            yield from (((keyword, index), part) for index, part in enumerate(value))
        elif keyword in _ONE:
            yield (keyword,), value


def check_keywords(document: Mapping[str, Any]) -> None:
    """Raises `SchemaInvalid` at the first keyword that JSON Schema does not know: a typing error, most likely."""
    for path, part in subschemas(document):
        for keyword in part:
            if keyword not in KEYWORDS and not keyword.startswith("x-"):
                raise SchemaInvalid((*path, keyword), "unknown JSON Schema keyword")


def _inlined(part: Any, document: Mapping[str, Any]) -> Any:
    if not isinstance(part, dict):
        return part
    copy: dict[str, Any] = {}
    for keyword, value in part.items():
        if keyword in _NAMED and isinstance(value, dict):
            copy[keyword] = {name: _inlined(inner, document) for name, inner in value.items()}
        elif keyword in _MANY and isinstance(value, list):
            copy[keyword] = [_inlined(inner, document) for inner in value]
        else:
            copy[keyword] = _inlined(value, document) if keyword in _ONE else value
    for keyword in ("$defs", "definitions"):
        copy.pop(keyword, None)
    if "$ref" not in copy:
        return copy
    target = _inlined(_target(document, copy.pop("$ref"), ()), document)
    if isinstance(target, dict) and copy.keys() <= _ANNOTATIONS:
        return {**target, **copy}
    return {**copy, "allOf": [*copy.get("allOf", ()), target]}


_REFERENCE = re.compile(r"#/(\$defs|definitions)/([^/]+)")


class _Rules:
    """Counts the subschemas of a document as if each reference were replaced by what it refers to.

    Raises `SchemaInvalid` for references that recurse, or that lead elsewhere than to the document's own `$defs`.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._counts: dict[int, int] = {}
        self._open: set[int] = set()

    def count(self, part: Any, path: Path = ()) -> int:
        if not isinstance(part, dict):
            return 1
        key = id(part)
        if key in self._open:
            raise SchemaInvalid(path, "refers to itself; recursive schemas are not supported")
        if key not in self._counts:
            self._open.add(key)
            total = 1 + sum(self.count(child, (*path, *place)) for place, child in _children(part))
            if isinstance(reference := part.get("$ref"), str):
                total += self.count(_target(self._document, reference, (*path, "$ref")), (*path, "$ref"))
            for keyword in _UNBOUNDED:
                if isinstance(part.get(keyword), str | bool):
                    raise SchemaInvalid((*path, keyword), "is not supported; refer to parts by $ref: '#/$defs/name'")
            self._open.discard(key)
            self._counts[key] = total
        return self._counts[key]


def _target(document: Mapping[str, Any], reference: str, path: Path) -> Any:
    """What `reference`, which stands at `path`, refers to."""
    found = _REFERENCE.fullmatch(reference)
    if not found:
        raise SchemaInvalid(path, "must refer to a part of this very schema, such as '#/$defs/name'")
    name = unquote(found[2]).replace("~1", "/").replace("~0", "~")
    target = at(document, (found[1], name))
    if target is None:
        raise SchemaInvalid(path, "leads nowhere")
    return target


def _size(value: Any, limit: int) -> int | None:
    """How many values `value` is made of; `None` when more than `limit`."""
    count, waiting = 0, [value]
    while waiting:
        item = waiting.pop()
        count += 1
        inner: Sequence[Any] = ()
        if isinstance(item, dict):
            inner = list(item.values())
        elif isinstance(item, list | tuple):
            inner = item
        if count + len(waiting) + len(inner) > limit:
            return None
        waiting.extend(inner)
    return count


def _branches(part: Mapping[str, Any]) -> bool:
    """Whether explaining why a value does not fit can take time beyond its first problem."""
    return any(
        not (isinstance(branch, dict) and branch.keys() == {"required"})
        for keyword in ("anyOf", "oneOf")
        for branch in (part.get(keyword) or ())
    )


def _not_a_schema(error: jsonschema_rs.ValidationError, document: Mapping[str, Any]) -> SchemaInvalid:
    path = tuple(error.instance_path)
    kind = error.kind.name
    if kind == "$ref":
        return SchemaInvalid(path, _NO_DRAFT)
    if kind == "anyOf" and path and path[-1] == "type":
        return SchemaInvalid(path, "must be one of: array, boolean, integer, null, number, object, string")
    if kind == "format" and error.kind.as_dict().get("format") == "regex":
        return SchemaInvalid(path, "must be a valid regular expression, without look-around and back-references")
    return SchemaInvalid(path, rule_broken(error, at(document, path)))
