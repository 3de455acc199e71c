"""The OpenAPI document: sound in itself, and saying what the app does."""

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from gateway import openapi
from gateway.app import Gateway
from jobs.job import Callback, Deadline, JobRequest
from prompts import registry

DOCUMENT = openapi.document(registry.load(None))
PAGES = {"/", "/docs", "/openapi.json"}
"""About the document, not in it."""


def parts(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in the document."""
    if isinstance(value, dict):
        yield value
        for part in value.values():
            yield from parts(part)
    elif isinstance(value, list):
        for part in value:
            yield from parts(part)


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def schema(name: str) -> jsonschema_rs.Draft202012Validator:
    """The validator of one of the document's schemas, with all the others at hand."""
    components = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    return jsonschema_rs.Draft202012Validator(components, validate_formats=True)


def test_every_reference_leads_somewhere() -> None:
    references = [part["$ref"] for part in parts(DOCUMENT) if isinstance(part.get("$ref"), str)]
    assert references
    for reference in references:
        target: Any = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]


def test_every_schema_is_one() -> None:
    for component in DOCUMENT["components"]["schemas"].values():
        jsonschema_rs.meta.validate(component)


def test_operations_are_described_and_told_apart() -> None:
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert len(ids) == len(set(ids))
    for path, _, operation in operations():
        assert operation["summary"]
        assert operation["responses"]
        declared = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "path"}
        assert declared == {step[1:-1] for step in path.split("/") if step.startswith("{")}


async def test_every_route_is_documented_and_every_documented_route_is_there(gateway: Gateway) -> None:
    served = {
        (route.path_format, method.lower())
        for route in gateway.app.routes
        for method in getattr(route, "methods", ())
        if method not in ("OPTIONS", "HEAD") and route.path_format not in PAGES
    }
    assert served == {(path, method) for path, method, _ in operations()}


async def test_every_route_that_needs_a_key_says_so_and_none_other(gateway: Gateway) -> None:
    open_paths = {path for path, _, operation in operations() if operation.get("security") == []}
    assert open_paths == {"/health/live", "/health/ready"}


@pytest.mark.parametrize("name", list(registry.load(None).types))
def test_the_examples_of_each_type_fit_its_request(name: str) -> None:
    found = schema("JobRequest")
    for example in registry.load(None).types[name].input_schema["examples"]:
        body = {"type": name, "input": example}
        assert found.is_valid(body)
        assert schema(f"{name}_request").is_valid(body)
        full = {
            **body,
            "model": "fake/echo",
            "fallbacks": ["offline/rules"],
            "callback": {"url": "https://example.com/hook", "events": ["job.succeeded"]},
            "metadata": {"any": ["thing"]},
            "priority": "high",
            "deadline": {"start_s": 1, "first_token_s": 2, "stall_s": 3, "total_s": 4},
        }
        assert [e.message for e in schema(f"{name}_request").iter_errors(full)] == []
        for wrong in (
            {"type": name},
            {**body, "type": "nonsense"},
            {**body, "nonsense": 1},
            {**body, "input": None},
            {**body, "priority": "urgent"},
            {**body, "metadata": []},
            {**body, "fallbacks": ["x/y"] * 9},
            {**body, "callback": {}},
            {**body, "callback": {"url": "https://example.com", "nonsense": 1}},
            {**body, "callback": {"url": "https://example.com", "events": ["nonsense"]}},
            {**body, "callback": {"url": "https://example.com", "events": []}},
            {**body, "deadline": {"total_s": 0}},
            {**body, "deadline": {"nonsense": 1}},
        ):
            assert not found.is_valid(wrong), wrong


def test_every_field_of_a_request_is_documented() -> None:
    for component in DOCUMENT["components"]["schemas"]["JobRequest"]["oneOf"]:
        name = component["$ref"].rpartition("/")[2]
        assert set(DOCUMENT["components"]["schemas"][name]["properties"]) == set(JobRequest.__struct_fields__)
    for struct in (Callback, Deadline):
        documented = DOCUMENT["components"]["schemas"][struct.__name__]["properties"]
        assert set(documented) == set(struct.__struct_fields__)


def test_the_page_names_every_route_and_loads_nothing_from_elsewhere() -> None:
    page = openapi._page(DOCUMENT)
    for path in DOCUMENT["paths"]:
        assert path in page
    assert "src=" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page.split("<h2>Schemas</h2>")[0]
    assert msgspec.json.encode(DOCUMENT)
