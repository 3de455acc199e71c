"""A real gateway against its own OpenAPI document: whatever that allows or forbids, the answers are as it says."""

from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from gateway import openapi
from prompts import registry
from tests.conftest import Ringback
from tests.integration.gateway.conftest import submit
from tests.stack import request

DOCUMENT = openapi.document(registry.load(None))
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
OPERATIONS: list[tuple[str, str]] = [
    (path, method) for path, methods in DOCUMENT["paths"].items() for method in methods
]
FALLIBLE = [
    (path, method)
    for path, method in OPERATIONS
    for operation in [DOCUMENT["paths"][path][method]]
    if "requestBody" in operation or any(p["in"] != "path" for p in operation.get("parameters", ()))
]
"""Those of which a request can be wrong; any text may stand for an id."""
Check = Callable[..., bool | None]
EXAMPLES = 12
"""Requests for each operation, as documented and not."""
CHECKS: list[Check] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
LIMIT_S = 65
"""`Prefer: wait` may take 60 of them."""


@pytest.fixture(scope="module")
def job_id(ringback: Ringback) -> str:
    """A job that has ended."""
    reply = submit(ringback.url, headers={"Prefer": "wait=30"})
    assert reply.status == 200, reply.body
    return str(reply.json["id"])


@pytest.fixture(scope="module")
def session_id(ringback: Ringback) -> str:
    """A session."""
    return str(request(f"{ringback.url}/v1/sessions", method="POST", body={}).json["id"])


@pytest.fixture
def known_ids(job_id: str, session_id: str) -> dict[str, str]:
    """By the names of the parameters that take them."""
    return {"job_id": job_id, "session_id": session_id}


def check(
    url: str, known_ids: dict[str, str], path: str, method: str, mode: GenerationMode, checks: list[Check]
) -> None:
    """Sends requests of that kind, every other one about something that there is, and checks the answers."""
    strategy: Any = SCHEMA[path][method].as_strategy(generation_mode=mode)

    @seed(4711)
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=strategy, known=st.booleans())
    def conforms(case: Case[Any], known: bool) -> None:
        if known and method != "delete":
            case.path_parameters |= {name: id_ for name, id_ in known_ids.items() if name in case.path_parameters}
        case.call_and_validate(base_url=url, timeout=LIMIT_S, checks=checks)

    conforms()


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_requests_as_documented(ringback: Ringback, known_ids: dict[str, str], path: str, method: str) -> None:
    # Schemathesis holds a stream's schema against each of its events, which are no strings.
    checks = [one for one in CHECKS if one is not response_schema_conformance or not path.endswith("/events")]
    check(ringback.url, known_ids, path, method, GenerationMode.POSITIVE, checks)


@pytest.mark.parametrize(("path", "method"), FALLIBLE)
def test_requests_that_are_not_as_documented(
    ringback: Ringback, known_ids: dict[str, str], path: str, method: str
) -> None:
    # Bodies are read strictly; in a query, `limit=` is as good as none.
    strictly = [negative_data_rejection] if "requestBody" in DOCUMENT["paths"][path][method] else []
    checks = [one for one in CHECKS if one is not response_schema_conformance or not path.endswith("/events")]
    check(ringback.url, known_ids, path, method, GenerationMode.NEGATIVE, checks + strictly)
