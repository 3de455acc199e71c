"""The route of chat completions."""

from collections.abc import Sequence

from litestar import Router, post
from litestar.types import ASGIApp, Guard

from gateway import requests
from gateway.access import check_job, idempotency_scope, needs, owner
from gateway.desk import Desk
from gateway.openai.exchange import Exchange
from gateway.openai.request import Asked
from gateway.requests import AnyRequest
from jobs import errors


def router(desk: Desk, guards: Sequence[Guard]) -> Router:
    """`/v1/chat/completions`, open to whom `guards` let through."""

    @post("/completions", operation_id="create_chat_completion", status_code=200, opt=needs("jobs:write", spends=True))
    async def complete(request: AnyRequest) -> ASGIApp:
        """Answer a conversation."""
        desk.check_open()
        body = await requests.body(request, desk.max_body_bytes)
        asked = Asked(body)
        scope = idempotency_scope(request)
        try:
            spec = desk.submission.specify(asked.job, desk.store.new_id(scope), owner=owner(request))
            check_job(request, spec)
        except (errors.InvalidRequest, errors.Forbidden) as error:
            raise asked.blamed(error) from error
        return Exchange(desk, asked, spec, (scope, body) if scope else None)

    return Router("/v1/chat", route_handlers=[complete], guards=guards)
