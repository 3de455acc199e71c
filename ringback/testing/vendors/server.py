"""The fake vendor server: reads requests of every vendor, answers as scripted, acts out every fault, records it all."""

import asyncio
import time
from collections import defaultdict, deque
from typing import Any

import msgspec
from aiohttp import web

from ringback.testing.loopback import LoopbackServer, cut, reset
from ringback.testing.script import Fault, Received, Script, Vendor
from ringback.testing.vendors.anthropic import AnthropicWire
from ringback.testing.vendors.bedrock import BedrockWire
from ringback.testing.vendors.gemini import GeminiWire
from ringback.testing.vendors.openai import OpenAIWire
from ringback.testing.vendors.wire import HTML_ERROR, REFUSALS, Call, Frames, Reply, Wire

WIRES: tuple[Wire, ...] = (OpenAIWire(), AnthropicWire(), GeminiWire(), BedrockWire())
_CACHE_LIMIT = 512
_Cached = tuple[Script, Reply | Frames]


class VendorServer(LoopbackServer):
    """OpenAI, Anthropic, Gemini and Bedrock in one loopback server, each in its own wire format.

    ```python
    with VendorServer() as server:
        server.script(Script(deltas=("안녕", "하세요.")))
        os.environ.update(server.environment())
        ...  # the real SDKs now talk to it
        assert server.received[-1].model == "gpt-4o"
    ```
    """

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0, record: bool = True, write_size: int = 0) -> None:
        """`record=False` keeps no requests (for long benchmarks).

        `write_size`, in bytes, tears every frame into TCP writes of that size, in the midst of characters too; 0
        writes each frame at once.
        """
        super().__init__(host=host, port=port)
        self.record = record
        self.write_size = write_size
        self.received: list[Received] = []
        """Every request so far, in the order of arrival."""
        self._defaults: dict[tuple[Vendor | None, str | None], Script] = {}
        self._about: dict[bytes, Script] = {}
        self._queues: defaultdict[str | None, deque[Script]] = defaultdict(deque)
        self._cache: dict[tuple[int, Vendor, Call], _Cached] = {}
        self._malformed_request = Reply(status=400, body=b'{"error":{"message":"the body is not a JSON object"}}')

    def script(
        self, script: Script, *, vendor: Vendor | None = None, model: str | None = None, about: str | None = None
    ) -> None:
        """Answers every request (or those to `vendor`, for `model`) with `script` from now on.

        The most exact match wins: vendor and model, then model, then vendor, then the general one; before all of them
        one whose text `about` is somewhere in the request.
        """
        if about is not None:
            self._about[msgspec.json.encode(about)[1:-1]] = script
        else:
            self._defaults[vendor, model] = script

    def enqueue(self, *scripts: Script, model: str | None = None) -> None:
        """Answers the next requests (for `model`, if given) with these, one each; then it is as `script` says again."""
        self._queues[model].extend(scripts)

    def reset(self) -> None:
        """Forgets all scripts and requests."""
        self._defaults.clear()
        self._about.clear()
        self._queues.clear()
        self._cache.clear()
        self.received.clear()
        self.write_size = 0

    def environment(self) -> dict[str, str]:
        """The variables that lead every vendor's SDK to this server."""
        return {
            "OPENAI_BASE_URL": f"{self.url}/v1",
            "OPENAI_API_KEY": "sk-fake-openai",
            "ANTHROPIC_BASE_URL": self.url,
            "ANTHROPIC_API_KEY": "sk-fake-anthropic",
            "GOOGLE_GEMINI_BASE_URL": self.url,
            "GEMINI_API_KEY": "fake-gemini-key",
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": self.url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "AKIDFAKE",
            "AWS_SECRET_ACCESS_KEY": "fake-aws-secret",
        }

    async def wait_received(self, n: int = 1, *, timeout: float = 10.0) -> list[Received]:
        """Waits until `n` requests have arrived and returns them all. Raises `TimeoutError`."""
        await self.wait_until(lambda: len(self.received) >= n, timeout=timeout, what=f"{n} requests")
        return list(self.received)

    async def wait_disconnected(self, n: int = 1, *, timeout: float = 10.0) -> list[Received]:
        """Waits until `n` clients have closed their connection before the end of the answer. Raises `TimeoutError`."""
        await self.wait_until(lambda: len(self._disconnected()) >= n, timeout=timeout, what=f"{n} disconnects")
        return self._disconnected()

    def _disconnected(self) -> list[Received]:
        return [request for request in self.received if request.disconnected]

    def _pick(self, vendor: Vendor, model: str, body: Any) -> Script:
        if queue := self._queues[model] or self._queues[None]:
            return queue.popleft()
        if self._about:
            whole = msgspec.json.encode(body)
            if (script := next((s for text, s in self._about.items() if text in whole), None)) is not None:
                return script
        for key in ((vendor, model), (None, model), (vendor, None), (None, None)):
            if (script := self._defaults.get(key)) is not None:
                return script
        return _DEFAULT

    def _encoded(self, wire: Wire, call: Call, script: Script) -> Reply | Frames:
        key = (id(script), wire.vendor, call)
        cached = self._cache.get(key)
        if cached is None:
            if len(self._cache) >= _CACHE_LIMIT:
                self._cache.clear()
            # The script is kept with its frames, so that no other one can get its id.
            cached = self._cache[key] = (
                script,
                wire.frames(call, script) if call.streamed else wire.whole(call, script),
            )
        return cached[1]

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answers one request of any vendor."""
        at = time.monotonic()
        raw = await request.read()
        try:
            body = msgspec.json.decode(raw, type=dict[str, Any])
        except msgspec.DecodeError:
            return _response(self._malformed_request)
        for wire in WIRES:
            call = wire.read(request.path, body)
            if call is None:
                continue
            if isinstance(call, Reply):
                return _response(call)
            received = Received(
                vendor=wire.vendor,
                model=call.model,
                streamed=call.streamed,
                body=body,
                headers={name.lower(): value for name, value in request.headers.items()},
                at=at,
            )
            if self.record:
                self.received.append(received)
            try:
                return await self._act(request, wire, call, received)
            except asyncio.CancelledError:
                received.disconnected = not self.closing
                raise
            except ConnectionError:  # the same, noticed in writing; aiohttp would log it as an error of the server
                received.disconnected = not self.closing
                return _gone()
            finally:
                received.ended = time.monotonic()
        return web.Response(status=404, text=f"no vendor answers POST {request.path}")

    async def _act(self, request: web.BaseRequest, wire: Wire, call: Call, received: Received) -> web.StreamResponse:
        script = self._pick(wire.vendor, call.model, received.body)
        if script.first_s:
            await asyncio.sleep(script.first_s)
        if script.fault == "hang":
            await _forever()
        if script.fault == "reset":
            reset(request)
            return _gone()
        if script.fault == "html_error":
            return _response(Reply(status=502, body=HTML_ERROR, content_type="text/html"))
        if script.fault in REFUSALS and (script.fault != "rejects_prefill" or call.prefilled):
            return _response(wire.refusal(call, received, script.fault, script))
        if script.fault == "error_in_stream" and not call.streamed:
            return _response(wire.refusal(call, received, "overloaded", script))
        encoded = self._encoded(wire, call, script)
        if isinstance(encoded, Frames):
            return await self._stream(request, encoded, script)
        return await self._whole(request, encoded, script)

    async def _whole(self, request: web.BaseRequest, reply: Reply, script: Script) -> web.StreamResponse:
        match script.fault:
            case "cut" | "stall" | "hang_after_headers" | "no_finish":
                sent = b"" if script.fault == "hang_after_headers" else reply.body[: len(reply.body) // 2]
                response = web.StreamResponse(headers=reply.headers | {"content-type": reply.content_type})
                if script.fault != "no_finish":
                    response.content_length = len(reply.body)
                await response.prepare(request)
                await response.write(sent)
                await self._break_off(request, response, script.fault)
                return response
            case "malformed_event" | "malformed_delta":
                return _response(msgspec.structs.replace(reply, body=reply.body[:-1] + b"\x00"))
            case _:
                return _response(reply)

    async def _stream(self, request: web.BaseRequest, frames: Frames, script: Script) -> web.StreamResponse:
        response = web.StreamResponse(headers=frames.headers | {"content-type": frames.content_type})
        response.enable_chunked_encoding()
        await response.prepare(request)
        fault, after = script.fault, script.fault_after
        if fault == "hang_after_headers":
            await _forever()
        for frame in frames.head:
            await self._write(response, frame)
        for n, frame in enumerate(frames.deltas):
            if n and script.delta_s:
                await asyncio.sleep(script.delta_s)
            if n == after and fault in _BREAKS:
                break
            if n == after and fault == "malformed_event":
                await self._write(response, frames.malformed)
            if fault == "keep_alives":
                await self._write(response, frames.keep_alive)
            await self._write(response, frames.malformed if n == after and fault == "malformed_delta" else frame)
        if after >= len(frames.deltas) and fault in ("malformed_event", "malformed_delta"):
            await self._write(response, frames.malformed)
        match fault:
            case "error_in_stream":
                await self._write(response, frames.error)
            case "cut" | "stall":
                if fault == "cut":
                    rest = (*frames.deltas[after:], *frames.tail, *frames.finish)[0]
                    await response.write(rest[: len(rest) // 2])
                await self._break_off(request, response, fault)
                return response
            case _:
                for frame in _closing(frames, fault):
                    await self._write(response, frame)
                if fault == "open_end":
                    await _forever()
        await response.write_eof()
        return response

    async def _break_off(self, request: web.BaseRequest, response: web.StreamResponse, fault: Fault) -> None:
        match fault:
            case "cut":
                cut(request)
            case "stall" | "hang_after_headers":
                await _forever()
            case _:
                await response.write_eof()

    async def _write(self, response: web.StreamResponse, frame: bytes) -> None:
        if not self.write_size:
            await response.write(frame)
            return
        for start in range(0, len(frame), self.write_size):
            await response.write(frame[start : start + self.write_size])
            await asyncio.sleep(0)


_DEFAULT = Script()
_BREAKS: frozenset[Fault] = frozenset({"cut", "stall", "error_in_stream"})
"""The faults after which no more of the answer comes."""


def _closing(frames: Frames, fault: Fault | None) -> tuple[bytes, ...]:
    """What comes after the last delta."""
    match fault:
        case "no_finish":
            return frames.tail
        case "open_end":
            return frames.tail + frames.finish
        case "no_end_mark":
            return frames.tail + frames.finish + frames.trailer
        case _:
            return frames.tail + frames.finish + frames.trailer + frames.end


def _response(reply: Reply) -> web.Response:
    return web.Response(
        status=reply.status, body=reply.body, headers=reply.headers | {"content-type": reply.content_type}
    )


def _gone() -> web.StreamResponse:
    """What a handler returns whose connection is already gone."""
    return web.Response()


async def _forever() -> None:
    await asyncio.get_running_loop().create_future()
