"""Schemas are bounded, and say plainly what is wrong."""

from typing import Any

import pytest

from prompts.problem import pointer
from prompts.schema import KEYWORDS, RULES_LIMIT, SIZE_LIMIT, Schema, SchemaInvalid, check_keywords


def doubling(levels: int) -> dict[str, Any]:
    """A small schema with 2 ** levels rules, once its references are followed."""
    defs: dict[str, Any] = {
        f"a{i}": {"anyOf": [{"$ref": f"#/$defs/a{i + 1}"}, {"$ref": f"#/%24defs/a{i + 1}"}]} for i in range(levels)
    }
    for part in defs.values():
        part["anyOf"][1]["$ref"] = part["anyOf"][1]["$ref"].replace("%24", "$").replace("/a", "/%61")
    return {"type": "object", "$ref": "#/$defs/a0", "$defs": defs | {f"a{levels}": {"type": "string"}}}


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"not": schema}
    return schema


@pytest.mark.parametrize(
    ("document", "path", "detail"),
    [
        ({"type": "strin"}, ("type",), "must be one of: array"),
        ({"properties": []}, ("properties",), "must be an object (is an array)"),
        ({"properties": {"a": {"minLength": -1}}}, ("properties", "a", "minLength"), "must be at least 0"),
        ({"pattern": "(a"}, ("pattern",), "must be a valid regular expression"),
        ({"pattern": r"(a)\1"}, ("pattern",), "without look-around and back-references"),
        ({"pattern": "(a{1000}){1000}"}, ("pattern",), "must be a valid regular expression"),
        ({"$schema": "https://example.com/schema"}, (), "$schema"),
        ({"$ref": "https://example.com/schema"}, ("$ref",), "must refer to a part of this very schema"),
        ({"$ref": "#"}, ("$ref",), "must refer to a part of this very schema"),
        ({"$ref": "#/$defs/a"}, ("$ref",), "leads nowhere"),
        (
            {"$ref": "#/$defs/a", "$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}},
            ("$defs", "a", "items", "$ref"),
            "itself",
        ),
        ({"$dynamicRef": "#a"}, ("$dynamicRef",), "is not supported"),
        ({"properties": {"a": {"$id": "x"}}}, ("properties", "a", "$id"), "is not supported"),
        ({"description": "x" * SIZE_LIMIT}, (), f"must be at most {SIZE_LIMIT} bytes"),
        ({"allOf": [{} for _ in range(RULES_LIMIT)]}, (), "too many rules"),
        (doubling(30), (), "too many rules"),
        (deep(400), (), "nested too deeply"),
        (deep(20_000), (), "is not JSON"),
        ({"const": "\ud800"}, (), "is not JSON"),
    ],
)
def test_schemas_that_are_refused(document: dict[str, Any], path: tuple[str, ...], detail: str) -> None:
    with pytest.raises(SchemaInvalid) as caught:
        Schema(document)
    assert caught.value.problem.path == path
    assert detail in caught.value.problem.detail


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"a": {}}, "$ref": "#/definitions/a"},
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object"},
        {"properties": {"$id": {"type": "string"}, "$ref": {"type": "string"}, "id": {"type": "integer"}}},
        {"$defs": {"a/b~c d": {}}, "$ref": "#/$defs/a~1b~0c%20d"},
        {"properties": {f"f{i}": {"type": "string"} for i in range(500)}},
    ],
)
def test_schemas_that_are_accepted(document: dict[str, Any]) -> None:
    assert Schema(document).problems({}) == []


@pytest.mark.parametrize(
    ("document", "value", "problems"),
    [
        ({"minLength": 3}, "ab", {"#": "must be at least 3 characters (is 2)"}),
        ({"minLength": 1}, "", {"#": "must not be empty"}),
        ({"pattern": "^a"}, "b", {"#": "must match ^a"}),
        ({"const": [1]}, 2, {"#": "must be [1]"}),
        ({"enum": ["a", 1, None]}, 2, {"#": "must be one of: a, 1, null"}),
        ({"exclusiveMinimum": 1}, 1, {"#": "must be greater than 1"}),
        ({"exclusiveMaximum": 1}, 1, {"#": "must be less than 1"}),
        ({"multipleOf": 5}, 7, {"#": "must be a multiple of 5"}),
        ({"uniqueItems": True}, [1, 1], {"#": "must not have equal entries"}),
        ({"minProperties": 1}, {}, {"#": "must have at least 1 entries (has 0)"}),
        ({"format": "date"}, "soon", {"#": "must be a valid date"}),
        ({"type": ["string", "null"]}, True, {"#": "must be null or a string (is a boolean)"}),
        ({"not": {}}, 1, {"#": "is not allowed here"}),
        ({"properties": {"a": False}}, {"a": 1}, {"#/a": "is not allowed here"}),
        ({"additionalProperties": False}, {"a": 1}, {"#/a": "unknown field; there are none"}),
        ({"propertyNames": {"maxLength": 1}}, {"ab": 1}, {"#/ab": "is not an allowed name: must be at most 1 char"}),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1}, {"#/b": "is required"}),
        ({"anyOf": [{"required": ["a"]}, {"required": ["b", "c"]}]}, {}, {"#/a": "give at least one of: a, b and c"}),
        ({"oneOf": [{"type": "string"}, {"maximum": 3}]}, 5, {"#": "does not fit any of the allowed forms"}),
        ({"contains": {"const": 1}}, [2], {"#": "does not fit the schema's contains"}),
        ({"type": "string"}, "\ud800", {"#": "is nested too deeply or is not valid Unicode text"}),
        ({"items": {"$ref": "#/$defs/a"}, "$defs": {"a": {"required": ["b"]}}}, [{}], {"#/0/b": "is required"}),
    ],
)
def test_problems_in_plain_words(document: dict[str, Any], value: Any, problems: dict[str, str]) -> None:
    found = {pointer(problem.path): problem.detail for problem in Schema(document).problems(value)}
    assert list(found) == list(problems)
    assert all(detail in found[place] for place, detail in problems.items())


def test_a_value_too_large_to_explain_is_still_refused() -> None:
    listed = Schema({"items": {"type": "string"}})
    assert [problem.path for problem in listed.problems(["x"] * 50_000 + [1, 2])] == [(50_000,)]
    either = Schema({"items": {"anyOf": [{"type": "string", "minLength": i} for i in range(500)]}})
    (problem,) = either.problems([1] * 50_000)
    assert problem.detail == "does not fit the schema, and is too large to say where"


def test_patterns_cannot_be_made_to_hang() -> None:
    assert Schema({"pattern": "^(a+)+$"}).problems("a" * 100_000 + "!")


def test_a_typing_error_in_a_schema_is_found() -> None:
    check_keywords({"properties": {"minimun": {"x-order": 1}}, "items": [True, {"maximum": 1}]})
    with pytest.raises(SchemaInvalid) as caught:
        check_keywords({"$defs": {"a": {"anyOf": [{"minimun": 1}]}}})
    assert caught.value.problem.path == ("$defs", "a", "anyOf", 0, "minimun")
    assert {"type", "properties", "format"} <= KEYWORDS


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ((), "#"),
        (("input", "a/b", "m~n", 0), "#/input/a~1b/m~0n/0"),
        (("한 글", "%"), "#/%ED%95%9C%20%EA%B8%80/%25"),
        (("x" * 100,), "#/" + "x" * 63 + "%E2%80%A6"),
    ],
)
def test_pointers_are_uri_fragments(path: tuple[str | int, ...], expected: str) -> None:
    assert pointer(path) == expected


def test_references_can_be_put_in_place() -> None:
    row = {"type": "object", "properties": {"$ref": {"type": "string"}, "n": {"$ref": "#/definitions/n"}}}
    schema = Schema(
        {
            "properties": {
                "rows": {"type": "array", "items": {"$ref": "#/$defs/row", "description": "One row."}},
                "n": {"$ref": "#/definitions/n", "minimum": 3},
            },
            "examples": [{"$ref": "#/nothing"}],
            "$defs": {"row": row},
            "definitions": {"n": {"type": "integer"}},
        }
    )
    inlined = schema.inlined()
    number = {"type": "integer"}
    assert inlined == {
        "properties": {
            "rows": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"$ref": {"type": "string"}, "n": number},
                    "description": "One row.",
                },
            },
            "n": {"minimum": 3, "allOf": [number]},
        },
        "examples": [{"$ref": "#/nothing"}],
    }
    for value in ({"rows": [{"n": 1}], "n": 3}, {"rows": [{"n": "x"}]}, {"n": 1}, {"n": "x"}):
        assert bool(schema.problems(value)) == bool(Schema(inlined).problems(value))
