"""The words in which the OpenAPI document is written: operations, answers, parameters, references."""

from typing import Any

from gateway.problems import MEDIA_TYPE

REF = "#/components/schemas/{name}"
Schema = dict[str, Any]


def ref(name: str) -> Schema:
    """A reference to one of the document's schemas."""
    return {"$ref": REF.format(name=name)}


def answer(schema: Schema, description: str, **more: Any) -> Schema:
    """An answer in JSON."""
    return {"description": description, "content": {"application/json": {"schema": schema}}, **more}


def parameter(place: str, name: str, description: str, schema: Schema | None = None) -> Schema:
    """A parameter; `place` is path, query or header."""
    return {
        "in": place,
        "name": name,
        "description": description,
        "required": place == "path",
        "schema": schema or {"type": "string"},
    }


WAIT = parameter("header", "Prefer", "`wait=N`: answer with the ended job if it ends within N seconds (at most 60)")
"""This and the following: parameters of what makes jobs."""
IDEMPOTENCY_KEY = parameter("header", "Idempotency-Key", "The same key and body get the same job", {"maxLength": 255})


def operation(operation_id: str, summary: str, responses: Schema, **more: Any) -> Schema:
    """An operation, with the problems that every one of them may answer with."""
    problem = {"description": "What is wrong", "content": {MEDIA_TYPE: {"schema": ref("Problem")}}}
    return {
        "operationId": operation_id,
        "summary": summary,
        "responses": {"4XX": problem, "503": problem} | responses,
        **more,
    }
