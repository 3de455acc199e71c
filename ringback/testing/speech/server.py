"""The fake speech server: Polly, Transcribe and S3 behind one address, answering as scripted and recording it all."""

import asyncio
import time
from collections import deque
from typing import Any

import msgspec
from aiohttp import WSMsgType, web

from jobs.routes import Quota
from ringback.testing.loopback import LoopbackServer, cut, reset
from ringback.testing.speech import polly, signature, transcribe
from ringback.testing.speech.allowance import Allowance
from ringback.testing.speech.script import Fault, Received, Service, SpeechScript

_SECRET = "fake-aws-secret"  # noqa: S105 - of the fake
_JSON = {"content-type": "application/x-amz-json-1.1"}
_STREAM = "/stream-transcription-websocket"
_LONGEST_CHUNK_S = 1.0
_FINE = SpeechScript()
_REFUSING = SpeechScript(fault="rate_limited")


class SpeechServer(LoopbackServer):
    """Amazon's speech services in one loopback server.

    ```python
    with SpeechServer() as server:
        server.script(SpeechScript(heard=("주문한 게 안 왔어요.",)), service="transcribe-streaming")
        os.environ.update(server.environment())
        ...  # boto3 and the stream's client now talk to it
        assert server.received[-1].operation == "StartStreamTranscription"
    ```
    """

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0, record: bool = True) -> None:
        """`record=False` keeps no requests, for those who send very many."""
        super().__init__(host=host, port=port)
        self._record = record
        self.received: list[Received] = []
        """Every request so far, in the order of arrival."""
        self.objects: dict[str, bytes] = {}
        """What is in S3, by `bucket/key`."""
        self._scripts: dict[Service | None, SpeechScript] = {}
        self._queue: deque[SpeechScript] = deque()
        self._allowances: dict[Service, Allowance] = {}
        self._about: dict[str, deque[SpeechScript]] = {}
        self._jobs: dict[str, dict[str, Any]] = {}
        self._looks: dict[str, int] = {}

    def script(self, script: SpeechScript, *, service: Service | None = None) -> None:
        """Answers every request (or those to `service`) so from now on; S3 only fails if it is named."""
        self._scripts[service] = script

    def enqueue(self, *scripts: SpeechScript, about: str | None = None) -> None:
        """Answers the next requests to Polly and for transcriptions with these, one each.

        With `about`: the next ones to Polly in whose text that is, whatever else is asked meanwhile.
        """
        (self._queue if about is None else self._about.setdefault(about, deque())).extend(scripts)

    def limit(self, quota: Quota, *, service: Service) -> None:
        """From now on refuses what is beyond that quota, as an account's real one."""
        self._allowances[service] = Allowance(quota)

    def reset(self) -> None:
        """Forgets all scripts, quotas, requests, objects and jobs."""
        kept_all = (self.received, self.objects, self._scripts, self._queue, self._about, self._jobs, self._looks)
        for kept in (*kept_all, self._allowances):
            kept.clear()

    def environment(self) -> dict[str, str]:
        """The variables that lead boto3 and the stream's client to this server."""
        return {
            "AWS_ENDPOINT_URL_POLLY": self.url,
            "AWS_ENDPOINT_URL_TRANSCRIBE": self.url,
            "AWS_ENDPOINT_URL_S3": self.url,
            "RINGBACK_TRANSCRIBE_STREAMING_URL": self.url.replace("http", "ws", 1),
            "AWS_REGION": "ap-northeast-2",
            "AWS_ACCESS_KEY_ID": "AKIDFAKE",
            "AWS_SECRET_ACCESS_KEY": _SECRET,
        }

    async def wait_received(self, n: int = 1, *, timeout: float = 10.0) -> list[Received]:
        """Waits until `n` requests have arrived and returns them all. Raises `TimeoutError`."""
        await self.wait_until(lambda: len(self.received) >= n, timeout=timeout, what=f"{n} requests")
        return list(self.received)

    async def wait_disconnected(self, n: int = 1, *, timeout: float = 10.0) -> None:
        """Waits until `n` clients have closed their connection before the end of the answer. Raises `TimeoutError`."""
        await self.wait_until(
            lambda: sum(request.disconnected for request in self.received) >= n,
            timeout=timeout,
            what=f"{n} disconnects",
        )

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answers one request to any service."""
        received = await self._read(request)
        if isinstance(received, web.Response):
            return received
        if self._record:
            self.received.append(received)
        allowance = self._allowances.get(received.service)
        if allowance is None:
            return await self._served(request, received, self._picked(received))
        with allowance.one() as allowed:
            received.refused = not allowed
            script = self._picked(received) if allowed else _REFUSING
            return await self._served(request, received, script)

    async def _served(self, request: web.BaseRequest, received: Received, script: SpeechScript) -> web.StreamResponse:
        try:
            if received.service != "transcribe-streaming":
                if script.fault == "hang":
                    await _forever()
                if script.fault == "reset":
                    reset(request)
                    return web.Response()
            match received.service:
                case "polly":
                    return await self._speak(request, received, script)
                case "transcribe":
                    return await self._transcribe(received, script)
                case "s3":
                    return self._store(request, received, script)
                case "transcribe-streaming":
                    return await self._listen(request, received, script)
        except asyncio.CancelledError:
            received.disconnected = not self.closing
            raise
        except ConnectionError:
            received.disconnected = not self.closing
            return web.Response()

    def _picked(self, received: Received) -> SpeechScript:
        if received.service == "s3":
            return self._scripts.get("s3", _FINE)
        if received.operation in ("GetTranscriptionJob", "DeleteTranscriptionJob"):
            name = received.body.get("TranscriptionJobName", "")
            script: SpeechScript = self._jobs.get(name, {}).get("script", _FINE)
            return script
        if received.service == "polly":
            text = str(received.body.get("Text", ""))
            for queue in (queue for about, queue in self._about.items() if about in text and queue):
                return queue.popleft()
        if self._queue:
            return self._queue.popleft()
        return self._scripts.get(received.service) or self._scripts.get(None, _FINE)

    async def _read(self, request: web.BaseRequest) -> Received | web.Response:
        service: Service
        if request.headers.get("expect", "").lower() == "100-continue" and request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")  # boto3 waits a second for it before it uploads
        operation, body = request.method, await request.read()
        content: Any = body
        try:
            if request.path == "/v1/speech":
                service, operation, content = "polly", "SynthesizeSpeech", msgspec.json.decode(body)
            elif target := request.headers.get("x-amz-target"):
                service, operation, content = "transcribe", target.partition(".")[2], msgspec.json.decode(body)
            elif request.path == _STREAM:
                service, operation, content = "transcribe-streaming", "StartStreamTranscription", dict(request.query)
            else:
                service, operation = "s3", f"{request.method.capitalize()}Object"
        except ValueError:
            return web.Response(status=400, text="the body cannot be read")
        headers = {name.lower(): value for name, value in request.headers.items()}
        return Received(service=service, operation=operation, body=content, headers=headers, at=time.monotonic())

    async def _speak(self, request: web.BaseRequest, received: Received, script: SpeechScript) -> web.StreamResponse:
        await asyncio.sleep(script.first_s)
        refused = polly.REFUSALS.get(script.fault) if script.fault else polly.problem(received.body)
        if refused is not None:
            status, kind, message = refused
            message = message.replace("{text}", str(received.body.get("Text")))
            body = msgspec.json.encode({"message": message})
            return web.Response(status=status, body=body, headers={"x-amzn-ErrorType": kind} | _wait(script))
        audio = b"" if script.fault == "empty" else await asyncio.to_thread(polly.audio, received.body)
        response = web.StreamResponse(
            headers={
                "content-type": polly.TYPES[received.body["OutputFormat"]],
                "x-amzn-RequestCharacters": "many" if script.fault == "malformed" else str(polly.billed(received.body)),
            }
        )
        response.enable_chunked_encoding()
        await response.prepare(request)
        for number, start in enumerate(range(0, len(audio), script.chunk_bytes)):
            if number == script.fault_after and script.fault in ("cut", "stall"):
                if script.fault == "stall":
                    await _forever()
                cut(request)
                return response
            if number:
                await asyncio.sleep(script.chunk_s)
            await response.write(audio[start : start + script.chunk_bytes])
        await response.write_eof()
        return response

    async def _transcribe(self, received: Received, script: SpeechScript) -> web.StreamResponse:
        await asyncio.sleep(script.first_s)
        refused = transcribe.REFUSALS.get(script.fault) if script.fault else None
        if refused is not None:
            return _refusal(*refused, script)
        if script.fault == "malformed":
            return web.Response(body=b"{", headers=_JSON)
        given: dict[str, Any] = received.body
        name = given.get("TranscriptionJobName", "")
        match received.operation:
            case "StartTranscriptionJob":
                return self._start(given, name, script)
            case "GetTranscriptionJob":
                if name not in self._jobs:
                    return _refusal(400, "BadRequestException", "The requested job couldn't be found.", script)
                looked = self._looks[name]
                self._looks[name] = looked + 1
                uri = f"{self.url}/aws-transcribe-output/{name}.json?X-Amz-Signature=fake"
                return _answer(transcribe.status(self._jobs[name]["given"], script, looked, uri))
            case "DeleteTranscriptionJob":
                self._jobs.pop(name, None)
                return _answer({})
            case _:
                return web.Response(status=404)

    def _start(self, given: dict[str, Any], name: str, script: SpeechScript) -> web.StreamResponse:
        uri = str(given.get("Media", {}).get("MediaFileUri", ""))
        if name in self._jobs:
            return _refusal(400, "ConflictException", "The requested job name already exists.", script)
        if uri.removeprefix("s3://") not in self.objects:
            return _refusal(400, "BadRequestException", "The S3 URI that you provided can't be accessed.", script)
        if not (given.get("LanguageCode") or given.get("IdentifyLanguage")):
            return _refusal(400, "BadRequestException", "You must specify a language code or identify it.", script)
        self._jobs[name] = {"given": given, "script": script}
        self._looks[name] = 0
        if script.fault != "no_document":
            self.objects[f"aws-transcribe-output/{name}.json"] = (
                b"<Error>" if script.fault == "cut" else transcribe.document(given, script)
            )
        started = {"TranscriptionJobName": name, "TranscriptionJobStatus": "IN_PROGRESS", "Media": given["Media"]}
        return _answer({"TranscriptionJob": started})

    def _store(self, request: web.BaseRequest, received: Received, script: SpeechScript) -> web.StreamResponse:
        key = request.path.removeprefix("/")
        if script.fault is not None:
            code = {"forbidden": (403, "AccessDenied"), "rate_limited": (503, "SlowDown")}
            status, kind = code.get(script.fault, (500, "InternalError"))
            return _s3_error(status, kind)
        match request.method:
            case "PUT":
                self.objects[key] = _without_chunks(received)
                return web.Response(headers={"etag": '"fake"'})
            case "DELETE":
                self.objects.pop(key, None)
                return web.Response(status=204)
            case _ if key in self.objects:
                return web.Response(body=self.objects[key])
            case _:
                return _s3_error(404, "NoSuchKey")

    async def _listen(self, request: web.BaseRequest, received: Received, script: SpeechScript) -> web.StreamResponse:
        if script.fault == "hang":
            await _forever()
        if script.fault == "reset":
            reset(request)
            return web.Response()
        host = request.headers.get("host", "")
        problem = signature.problem("GET", request.path, request.query_string, host, _SECRET)
        if problem is not None or script.fault in ("unauthorized", "forbidden"):
            fault: Fault = "forbidden" if script.fault == "forbidden" else "unauthorized"
            kind, message = transcribe.STREAM_REFUSALS[fault]
            body = msgspec.json.encode({"message": problem or message})
            return web.Response(status=403, body=body, headers={"x-amzn-ErrorType": kind})
        socket = web.WebSocketResponse(max_msg_size=64 * 1024)
        await socket.prepare(request)
        await _Stream(socket, received, script, request).serve()
        return socket


class _Stream:
    """One streamed transcription: results go out while audio comes in, the last one after its end."""

    def __init__(
        self, socket: web.WebSocketResponse, received: Received, script: SpeechScript, request: web.BaseRequest
    ) -> None:
        self._socket, self._received, self._script, self._request = socket, received, script, request
        self._left = deque(transcribe.results(script, received.body))
        self._sent = 0
        self._ended = False

    async def serve(self) -> None:
        """Serves until the end."""
        fault = self._script.fault
        if fault in transcribe.STREAM_REFUSALS and fault != "error_in_stream":
            await self._fail(*transcribe.STREAM_REFUSALS[fault])
            return
        while not self._ended:
            if not await self._hear():
                return
        await asyncio.sleep(self._script.first_s)
        while self._left:
            if not await self._send():
                return
        await self._socket.close()

    async def _hear(self) -> bool:
        """Takes in the next chunk, and gives a result for it; false if that was the end."""
        try:
            message = await self._socket.receive(timeout=self._script.idle_s)
        except TimeoutError:
            seconds = f"{self._script.idle_s:g}"
            reason = f"Your request timed out because no new audio was received for {seconds} seconds."
            await self._fail("BadRequestException", reason)
            return False
        if message.type is not WSMsgType.BINARY:
            self._received.disconnected = True
            return False
        if (problem := self._take(message.data)) is not None:
            await self._fail("BadRequestException", problem)
            return False
        # The last result waits for the end.
        return len(self._left) <= 1 or await self._send()

    def _take(self, data: bytes) -> str | None:
        try:
            audio = transcribe.audio_of(data)
        except ValueError as error:
            return f"A frame could not be read: {error}"
        self._received.audio.append(audio)
        query = self._received.body
        if query.get("media-encoding") == "pcm" and len(audio) > 2 * int(query["sample-rate"]) * _LONGEST_CHUNK_S:
            return "A chunk of audio may be no longer than a second."
        self._ended = not audio
        return None

    async def _send(self) -> bool:
        """Sends the next result, or what is scripted instead; false if that was the end."""
        if self._sent == self._script.fault_after:
            match self._script.fault:
                case "error_in_stream":
                    await self._fail(*transcribe.STREAM_REFUSALS["error_in_stream"])
                    return False
                case "cut":
                    cut(self._request)
                    return False
                case "stall":
                    await _gone(self._socket)
                    self._received.disconnected = True
                    return False
                case "malformed":
                    self._sent += 1
                    await self._socket.send_bytes(self._left[0][:-3] + b"\0\0\0")
                    return True
        self._sent += 1
        await self._socket.send_bytes(self._left.popleft())
        return True

    async def _fail(self, kind: str, message: str) -> None:
        await self._socket.send_bytes(transcribe.exception(kind, message))
        await self._socket.close()


def _wait(script: SpeechScript) -> dict[str, str]:
    waits = script.fault == "rate_limited" and script.retry_after is not None
    return {"retry-after": f"{script.retry_after:g}"} if waits else {}


def _answer(body: dict[str, Any]) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), headers=_JSON)


def _refusal(status: int, kind: str, message: str, script: SpeechScript) -> web.Response:
    body = msgspec.json.encode({"__type": kind, "Message": message, "message": message})
    return web.Response(status=status, body=body, headers=_JSON | _wait(script))


def _s3_error(status: int, code: str) -> web.Response:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}</Message></Error>"
    return web.Response(status=status, text=body, content_type="application/xml")


def _without_chunks(received: Received) -> bytes:
    """The object of a PUT, which boto3 may wrap in signed chunks with a checksum behind them."""
    body: bytes = received.body
    if "aws-chunked" not in received.headers.get("content-encoding", ""):
        return body
    whole, rest = b"", body
    while rest:
        head, _, rest = rest.partition(b"\r\n")
        size = int(head.partition(b";")[0], 16)
        if not size:
            break
        whole, rest = whole + rest[:size], rest[size + 2 :]
    return whole


async def _gone(socket: web.WebSocketResponse) -> None:
    """Waits, saying nothing, until the client is gone."""
    while (await socket.receive()).type is WSMsgType.BINARY:
        pass


async def _forever() -> None:
    await asyncio.get_running_loop().create_future()
