"""The scripted vendors of a run, in a process of their own: Transcribe, Polly and a model, behind one address.

`python -m benchmarks.voice.vendors` tells the variables of the environment that lead to it; asked with any line, it
tells how late it has been since it was asked last: `{token: [seconds, …], speech: [seconds, …]}`.
"""

import asyncio
import logging
import time

import msgspec
from aiohttp import web

from benchmarks.children import Parent, serve
from benchmarks.voice.script import BY_MODEL, FIRST_TOKEN_S, HEARD, RECOGNITION_S, SYNTHESIS_S, TOKEN_S
from ringback.testing.script import Script as Answer
from ringback.testing.speech import polly
from ringback.testing.speech.script import SpeechScript
from ringback.testing.speech.server import SpeechServer
from ringback.testing.vendors.openai import OpenAIWire
from ringback.testing.vendors.wire import Call, Frames, Reply

_PATIENCE_S = 3_600.0
"""Streams may wait for their turn."""
_KEPT = 1_000
"""Requests that are remembered at most; a long run would else fill the memory."""


class Vendors(SpeechServer):
    """The speech services, and a model on the OpenAI wire."""

    def __init__(self) -> None:
        super().__init__()
        self._wire = OpenAIWire()
        self._frames: dict[Call, Frames] = {}
        self._late: dict[str, list[float]] = {"token": [], "speech": []}
        heard = SpeechScript(first_s=RECOGNITION_S, heard=(HEARD,), idle_s=_PATIENCE_S)
        self.script(heard, service="transcribe-streaming")

    def environment(self) -> dict[str, str]:
        """The variables that lead every client to this server."""
        return {**super().environment(), "OPENAI_BASE_URL": f"{self.url}/v1", "OPENAI_API_KEY": "sk-benchmark"}

    def late(self) -> dict[str, list[float]]:
        """By how many seconds each token, and all of the sound of each sentence, was late since this was asked last."""
        found, self._late = self._late, {name: [] for name in self._late}
        return found

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answers one request."""
        try:
            match request.path:
                case "/v1/chat/completions":
                    return await self._answered(request)
                case "/v1/speech":
                    return await self._spoken(request)
        except ConnectionError:
            return web.Response()
        del self.received[:-_KEPT]
        return await super().handle(request)

    async def _spoken(self, request: web.BaseRequest) -> web.StreamResponse:
        """Polly's answer at the very time, whatever making it takes."""
        body = msgspec.json.decode(await request.read())
        came = time.monotonic()
        if (problem := polly.problem(body)) is not None:
            status, kind, message = problem
            return web.json_response({"message": message}, status=status, headers={"x-amzn-ErrorType": kind})
        audio = await asyncio.to_thread(polly.audio, body)
        kind, characters = polly.TYPES[body["OutputFormat"]], str(polly.billed(body))
        response = web.StreamResponse(headers={"content-type": kind, "x-amzn-RequestCharacters": characters})
        response.enable_chunked_encoding()
        due = came + SYNTHESIS_S
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        await response.prepare(request)
        await response.write(audio)
        await response.write_eof()
        self._late["speech"].append(time.monotonic() - due)
        return response

    async def _answered(self, request: web.BaseRequest) -> web.StreamResponse:
        """Each token has its time by one clock, from the request's last byte on: no delay adds up."""
        call = self._wire.read(request.path, msgspec.json.decode(await request.read()))
        came = time.monotonic()
        if isinstance(call, Reply):
            return web.Response(status=call.status, body=call.body, content_type=call.content_type)
        if call is None or call.model not in BY_MODEL or not call.streamed:
            return web.Response(status=400, text="only streamed answers of the scripted models are to be had here")
        frames = self._answer(call)
        response = web.StreamResponse(headers=frames.headers | {"content-type": frames.content_type})
        response.enable_chunked_encoding()
        await response.prepare(request)
        for frame in frames.head:
            await response.write(frame)
        for number, frame in enumerate(frames.deltas):
            due = came + FIRST_TOKEN_S + number * TOKEN_S
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await response.write(frame)
            self._late["token"].append(time.monotonic() - due)
        await response.write(b"".join(frames.tail + frames.finish + frames.trailer + frames.end))
        await response.write_eof()
        return response

    def _answer(self, call: Call) -> Frames:
        if call not in self._frames:
            self._frames[call] = self._wire.frames(call, Answer(deltas=BY_MODEL[call.model].tokens, output_tokens=60))
        return self._frames[call]


async def _main(parent: Parent) -> None:
    # pipecat offers a subprotocol of Transcribe's, which the fake does not have and does not need.
    logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)
    with Vendors() as server:
        parent.tell(server.environment())
        while True:
            await parent.read()
            parent.tell(server.late())


if __name__ == "__main__":
    serve(_main)
