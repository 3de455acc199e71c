"""Slack on loopback: takes what is posted to webhooks and to `chat.postMessage`, and judges it by Slack's limits."""

import asyncio
import itertools
from collections import deque
from typing import Any

import msgspec
from aiohttp import web

from ringback.testing.loopback import LoopbackServer

TOKEN = "xoxb-geheim"


class Posted(msgspec.Struct, frozen=True, kw_only=True):
    """One message that was taken."""

    path: str
    content: dict[str, Any]

    @property
    def texts(self) -> list[str]:
        """Every text in the blocks, in order."""
        return list(texts_of(self.content["blocks"]))


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """An answer other than the usual one."""

    status: int = 200
    body: str = ""
    content_type: str = "application/json"
    headers: dict[str, str] = {}
    hang: bool = False


def texts_of(blocks: list[dict[str, Any]]) -> list[str]:
    """Every text in the blocks, in order."""
    found = []
    for block in blocks:
        objects = [block["text"]] if "text" in block else []
        found += [part["text"] for part in [*objects, *block.get("fields", []), *block.get("elements", [])]]
    return found


def objection(content: dict[str, Any]) -> str | None:
    """What Slack would not take about a message."""
    blocks = content.get("blocks")
    if not content.get("text"):
        return "no_text"
    if len(content["text"]) > 40_000:
        return "msg_too_long"
    if blocks is None:
        return None
    if not 1 <= len(blocks) <= 50:
        return "invalid_blocks"
    if sum(len(text.encode("utf-16-le")) // 2 for text in texts_of(blocks)) > 11_000:
        return "msg_blocks_too_long"
    limits = {"header": 150, "section": 3_000, "context": 3_000}
    for block in blocks:
        fields = block.get("fields", [])
        if block["type"] not in limits or len(fields) > 10 or any(len(field["text"]) > 2_000 for field in fields):
            return "invalid_blocks"
        for text in texts_of([block]):
            if not text.strip() or len(text.encode("utf-16-le")) // 2 > limits[block["type"]]:
                return "invalid_blocks"
    return None


class SlackServer(LoopbackServer):
    """Webhooks are any path below /services/; the Web API is below /api/."""

    def __init__(self) -> None:
        super().__init__()
        self.posted: list[Posted] = []
        self.refused: list[str] = []
        """What was wrong with messages."""
        self.replies: deque[Reply | None] = deque()
        """Answers to the next requests; `None`: the usual one."""
        self._times = itertools.count(1)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        reply = self.replies.popleft() if self.replies else None
        if reply is not None:
            if reply.hang:
                await asyncio.get_running_loop().create_future()
            return web.Response(
                status=reply.status, text=reply.body, content_type=reply.content_type, headers=reply.headers
            )
        if request.path == "/api/auth.test":
            known = request.headers.get("Authorization") == f"Bearer {TOKEN}"
            return web.json_response({"ok": True} if known else {"ok": False, "error": "invalid_auth"})
        content = msgspec.json.decode(body)
        wrong = objection(content)
        if wrong:
            self.refused.append(wrong)
        if request.path.startswith("/services/"):
            if wrong:
                return web.Response(status=400, text=wrong)
            self.posted.append(Posted(path=request.path, content=content))
            return web.Response(text="ok")
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            wrong = "invalid_auth"
        if wrong:
            return web.json_response({"ok": False, "error": wrong})
        self.posted.append(Posted(path=request.path, content=content))
        return web.json_response({"ok": True, "channel": content["channel"], "ts": f"1.{next(self._times):06d}"})
