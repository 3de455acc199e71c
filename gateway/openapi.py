"""The OpenAPI document, with every job type's schemas, and a page that shows it without any outside resource."""

import html
from importlib.metadata import version
from typing import Any, get_args

import msgspec
from litestar import MediaType, Response, route
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from gateway.deliveries import Replayed, ReplayRequest
from gateway.describing import IDEMPOTENCY_KEY, REF, WAIT, Schema, answer, operation, parameter, ref
from gateway.health import Health
from gateway.openai.completion import ChatCompletion
from gateway.openai.models import Model, ModelList
from gateway.openai.problems import ErrorBody
from gateway.openai.request import ChatRequest
from gateway.problems import Problem
from gateway.requests import READ
from gateway.sessions import SessionRequest
from gateway.turns import description as turns
from jobs.job import METADATA_LIMIT, Callback, Deadline, Job
from jobs.session import CONTEXT_LIMIT, HistoryPage, Session
from jobs.store.dead_letters import DeliveryPage
from jobs.store.deliveries import CallbackBody, Delivery, DeliveryStatus
from jobs.store.listing import Page
from jobs.store.usage import UsageReport
from prompts.registry import JobType, Registry

_STATUS: dict[str, Any] = {"enum": list(get_args(DeliveryStatus))}
_JOB_ID = parameter("path", "job_id", "The job's id")


def job_types(prompts: Registry) -> bytes:
    """The answer of `GET /v1/job-types`."""
    return msgspec.json.encode({"items": [_job_type(job_type) for job_type in prompts.types.values()]})


def _job_type(job_type: JobType) -> Schema:
    return {
        "name": job_type.name,
        "description": job_type.description,
        "version": job_type.version,
        "prompt": job_type.ref,
        "model": job_type.model,
        "input_schema": job_type.input_schema,
        "output_schema": job_type.output_schema,
    }


def document(prompts: Registry) -> Schema:
    """The OpenAPI 3.1 document."""
    types = prompts.types.values()
    _, schemas = msgspec.json.schema_components(
        [
            *(Job, Page, Delivery, DeliveryPage, ReplayRequest, Replayed, CallbackBody, Callback, Deadline),
            *(UsageReport, Problem, Health, SessionRequest, Session, HistoryPage),
            *(ChatRequest, ChatCompletion, Model, ModelList, ErrorBody),
        ],
        ref_template=REF,
    )
    schemas["Callback"] |= _one_of("url", "slack", "database")
    schemas["SessionRequest"]["properties"]["context"] = {
        "type": "object",
        "description": f"Offered to prompts; at most {CONTEXT_LIMIT} bytes",
    }
    schemas["SlackCallback"] |= _one_of("webhook", "channel")
    schemas |= {f"{job_type.name}_request": _request(job_type) for job_type in types}
    schemas |= {f"{job_type.name}_output": job_type.output_schema for job_type in types}
    schemas["JobRequest"] = {
        "oneOf": [ref(f"{job_type.name}_request") for job_type in types],
        "discriminator": {
            "propertyName": "type",
            "mapping": {job_type.name: REF.format(name=f"{job_type.name}_request") for job_type in types},
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Ringback",
            "version": version("ringback"),
            "description": "The LLM gateway that calls you back.",
        },
        "paths": _paths(prompts),
        "webhooks": {
            "job": {
                "post": {
                    "description": "The callback, signed after Standard Webhooks 1.0.",
                    "requestBody": {"content": {"application/json": {"schema": ref("CallbackBody")}}},
                    "responses": {"2XX": {"description": "Received"}},
                }
            }
        },
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "rb_<id>_<secret>",
                    "description": "An API key. Without a valid one: 401 unauthorized; without the scope, or if it may"
                    " not submit such a job: 403 forbidden; after too many requests: 429 rate_limited, and with no"
                    " tokens left for the day: 429 budget_exhausted, both with Retry-After.",
                }
            },
        },
        "security": [{"key": []}, {}],
    }


def _one_of(*names: str) -> Schema:
    """Says that an object needs exactly one of these properties."""
    return {"oneOf": [{"required": [name]} for name in names]}


def _request(job_type: JobType) -> Schema:
    return {
        "title": f"{job_type.name} job",
        "description": job_type.description,
        "type": "object",
        "required": ["type", "input"],
        "additionalProperties": False,
        "properties": {
            "type": {"const": job_type.name},
            "input": job_type.input_schema,
            "model": {"type": "string", "description": "A route or `provider/model`"},
            "fallbacks": {"type": "array", "items": {"type": "string"}, "maxItems": 8},
            "callback": ref("Callback"),
            "metadata": {"type": "object", "description": f"Comes back unchanged; at most {METADATA_LIMIT} bytes"},
            "priority": {"enum": ["high", "normal", "low"], "default": "normal"},
            "deadline": ref("Deadline"),
        },
    }


def _paths(prompts: Registry) -> Schema:
    job = ref("Job")
    accepted = answer(job, "Accepted", headers={"Location": {"schema": {"type": "string"}}})
    submit = operation(
        "submit_job",
        "Submit a job",
        {"202": accepted, "200": answer(job, "Ended within the time that `Prefer: wait` gave it")},
        requestBody={"required": True, "content": {"application/json": {"schema": ref("JobRequest")}}},
        parameters=[
            IDEMPOTENCY_KEY,
            WAIT,
        ],
    )
    filters = [
        parameter("query", name, "Only such jobs") for name in ("type", "status", "session_id", "error", "metadata.KEY")
    ]
    listing = operation(
        "list_jobs",
        "List jobs, newest first",
        {"200": answer(ref("Page"), "A page")},
        parameters=[
            *filters,
            parameter("query", "limit", "Jobs a page", {"type": "integer", "minimum": 1, "maximum": 200}),
            parameter("query", "cursor", "`next_cursor` of the page before"),
        ],
    )
    events = operation(
        "stream_events",
        "Stream a job's events",
        {
            "200": {
                "description": "Server-sent events",
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            },
            "204": {"description": "The client already has every event"},
        },
        parameters=[
            _JOB_ID,
            parameter("header", "Last-Event-ID", "Only events after this one"),
            parameter("query", "last_event_id", "The same, for clients that cannot set headers"),
        ],
    )
    deliveries: Schema = {"type": "object", "properties": {"items": {"type": "array", "items": ref("Delivery")}}}
    types: Schema = {"type": "object", "properties": {"items": {"type": "array", "items": {"type": "object"}}}}
    health = {"200": answer(ref("Health"), "Ready")}
    by_id = {"parameters": [_JOB_ID]}
    unguarded: Schema = {"security": []}
    return {
        "/v1/jobs": {"post": submit, "get": listing},
        "/v1/jobs/{job_id}": {"get": operation("get_job", "Read a job", {"200": answer(job, "The job")}, **by_id)},
        "/v1/jobs/{job_id}/cancel": {
            "post": operation("cancel_job", "Cancel a job", {"202": answer(job, "Being cancelled")}, **by_id)
        },
        "/v1/jobs/{job_id}/events": {"get": events},
        "/v1/jobs/{job_id}/audio/{name}": {"get": _audio()},
        "/v1/jobs/{job_id}/deliveries": {
            "get": operation("list_deliveries", "List a job's callbacks", {"200": answer(deliveries, "All")}, **by_id)
        },
        **_delivery_paths(),
        "/v1/usage": {"get": _usage()},
        **_session_paths(),
        **turns.paths(prompts),
        **_openai_paths(),
        "/v1/job-types": {"get": operation("list_job_types", "List job types", {"200": answer(types, "All")})},
        "/metrics": {"get": operation("metrics", "Metrics for Prometheus", {"200": _PROMETHEUS})},
        "/health/live": {
            "get": operation("health_live", "Does it live?", {"200": {"description": "Yes"}}, **unguarded)
        },
        "/health/ready": {"get": operation("health_ready", "Can jobs be accepted?", health, **unguarded)},
    }


def _audio() -> Schema:
    sound = {"schema": {"type": "string", "format": "binary"}}
    content = dict.fromkeys(("audio/mpeg", "audio/ogg", "audio/wav", "audio/pcm"), sound)
    return operation(
        "get_audio",
        "Read a job's audio",
        {
            "200": {"description": "All of it", "content": content},
            "206": {"description": "The range asked for", "content": content},
            "416": {"description": "There is no such range"},
        },
        parameters=[
            _JOB_ID,
            parameter("path", "name", "As in the link of the job's output"),
            parameter("header", "Range", "One range of bytes", {"type": "string", "pattern": r"^bytes=\d*-\d*$"}),
        ],
    )


_PROMETHEUS: Schema = {"description": "Gauges", "content": {"text/plain": {"schema": {"type": "string"}}}}


def _usage() -> Schema:
    day: Schema = {"type": "string", "format": "date"}
    return operation(
        "get_usage",
        "What was used, by day, API key and model",
        {"200": answer(ref("UsageReport"), "Sums of the jobs that ended on those days")},
        parameters=[
            parameter("query", "since", "The first UTC day; 29 before the last if not given", day),
            parameter("query", "until", "The last UTC day; today if not given", day),
            parameter("query", "group_by", "`day`, `key`, `model` or several with commas; `day` if not given"),
        ],
    )


def _delivery_paths() -> Schema:
    listing = operation(
        "list_dead_letters",
        "List deliveries by status, newest first",
        {"200": answer(ref("DeliveryPage"), "A page")},
        parameters=[
            parameter("query", "status", "Only such deliveries; `failed` if not given", _STATUS),
            parameter("query", "destination", "Only those that go there, or for a URL, below it"),
            parameter("query", "since", "Only those made then or later", {"type": "string", "format": "date-time"}),
            parameter("query", "limit", "Deliveries a page", {"type": "integer", "minimum": 1, "maximum": 200}),
            parameter("query", "cursor", "`next_cursor` of the page before"),
        ],
    )
    one = operation(
        "replay_delivery",
        "Replay a delivery",
        {"202": answer(ref("Delivery"), "Due now")},
        parameters=[parameter("path", "delivery_id", "The delivery's id")],
    )
    many = operation(
        "replay_deliveries",
        "Replay many deliveries",
        {"202": answer(ref("Replayed"), "All due now")},
        requestBody={"required": True, "content": {"application/json": {"schema": ref("ReplayRequest")}}},
    )
    return {
        "/v1/deliveries": {"get": listing},
        "/v1/deliveries/{delivery_id}/replay": {"post": one},
        "/v1/deliveries/replay": {"post": many},
    }


def _session_paths() -> Schema:
    session_id = parameter("path", "session_id", "The session's id")
    page = [
        parameter("query", "since", "Only what was said then or later", {"type": "string", "format": "date-time"}),
        parameter("query", "limit", "Messages a page", {"type": "integer", "minimum": 1, "maximum": 200}),
        parameter("query", "cursor", "`next_cursor` of the page before"),
    ]
    messages = {"200": answer(ref("HistoryPage"), "A page, oldest first")}
    create = operation(
        "create_session",
        "Make a session",
        {"201": answer(ref("Session"), "Made", headers={"Location": {"schema": {"type": "string"}}})},
        requestBody={"required": True, "content": {"application/json": {"schema": ref("SessionRequest")}}},
    )
    one = {"parameters": [session_id]}
    read = operation("get_session", "Read a session", {"200": answer(ref("Session"), "The session")}, **one)
    end = operation("delete_session", "End a session", {"204": {"description": "Ended; its history stays"}}, **one)
    parameters = [parameter("path", "user_id", "The user's id, as sessions were given it"), *page]
    of_user = operation("get_user_history", "Read what a user's sessions said", messages, parameters=parameters)
    said = operation("get_session_history", "Read what a session said", messages, parameters=[session_id, *page])
    return {
        "/v1/sessions": {"post": create},
        "/v1/sessions/{session_id}": {"get": read, "delete": end},
        "/v1/sessions/{session_id}/history": {"get": said},
        "/v1/users/{user_id}/history": {"get": of_user},
    }


def _openai_paths() -> Schema:
    error = answer(ref("ErrorBody"), "What is wrong, in OpenAI's shape")
    job = {"ringback-job-id": {"schema": {"type": "string"}, "description": "The job that the call is"}}
    completion = answer(ref("ChatCompletion"), "The answer; as server-sent events if `stream` is true", headers=job)
    completion["content"]["text/event-stream"] = {"schema": {"type": "string"}}
    complete = operation(
        "create_chat_completion",
        "Answer a conversation, as OpenAI does",
        {"200": completion, "4XX": error, "500": error, "502": error, "503": error, "504": error},
        requestBody={"required": True, "content": {"application/json": {"schema": ref("ChatRequest")}}},
        parameters=[IDEMPOTENCY_KEY],
    )
    listing = operation(
        "list_models", "List models", {"200": answer(ref("ModelList"), "What can be named"), "4XX": error, "503": error}
    )
    one = operation(
        "get_model",
        "Read a model",
        {"200": answer(ref("Model"), "The model"), "4XX": error, "503": error},
        parameters=[parameter("path", "model_id", "A route, an alias or `provider/model`")],
    )
    return {
        "/v1/chat/completions": {"post": complete},
        "/v1/models": {"get": listing},
        "/v1/models/{model_id}": {"get": one},
    }


def routes(prompts: Registry) -> list[HTTPRouteHandler]:
    """`/openapi.json`, `/docs`, and `/`, which leads there."""
    described = document(prompts)
    encoded = msgspec.json.encode(described)
    page = _page(described).encode()

    @route("/openapi.json", http_method=READ, operation_id="openapi")
    async def openapi() -> Response[bytes]:
        """The OpenAPI document."""
        return Response(encoded, media_type=MediaType.JSON)

    @route("/docs", http_method=READ, operation_id="docs")
    async def docs() -> Response[bytes]:
        """The document as a page."""
        return Response(page, media_type="text/html; charset=utf-8")

    @route("/", http_method=READ, operation_id="root")
    async def root() -> Redirect:
        """Leads to the documentation."""
        return Redirect("/docs")

    return [openapi, docs, root]


_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}
pre{background:#f4f5f7;padding:.8rem;overflow:auto;border-radius:6px;font-size:.85rem}
code{font-family:ui-monospace,monospace} h2{margin-top:2.5rem} b{color:#0b6b50} summary{cursor:pointer}
@media(prefers-color-scheme:dark){body{color:#e6e8eb;background:#15181c}pre{background:#20252b}b{color:#5fd3ac}}
"""


def _page(described: Schema) -> str:
    parts = [f"<h1>{described['info']['title']} <small>{described['info']['version']}</small></h1>"]
    parts.append('<p>The whole document: <a href="/openapi.json">openapi.json</a></p><h2>Requests</h2>')
    for path, operations in described["paths"].items():
        for method, told in operations.items():
            line = f"<b>{method.upper()}</b> <code>{html.escape(path)}</code> – {html.escape(told['summary'])}"
            parameters = "".join(
                f"<li><code>{html.escape(p['name'])}</code> ({p['in']}): {html.escape(p['description'])}</li>"
                for p in told.get("parameters", ())
            )
            parts.append(f"<details><summary>{line}</summary><ul>{parameters}</ul></details>")
    parts.append("<h2>Schemas</h2>")
    for name, schema in described["components"]["schemas"].items():
        text = msgspec.json.format(msgspec.json.encode(schema), indent=2).decode()
        parts.append(f"<details><summary><code>{name}</code></summary><pre>{html.escape(text)}</pre></details>")
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
    return (
        f'<!doctype html><html lang="en"><head><title>Ringback</title>{head}</head><body>{"".join(parts)}</body></html>'
    )
