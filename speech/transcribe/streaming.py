"""`TranscribeStreaming`: live audio and recordings over Transcribe's WebSocket, seconds faster than a batch."""

import asyncio
import importlib
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from jobs.permits import PermitStore
from jobs.routes import Quota, Target
from speech import errors
from speech.amazon.errors import meant
from speech.amazon.limiter import Limiter
from speech.audio import decoding
from speech.audio.pcm import BYTES, Pcm, resampled
from speech.recording import confidence, live_rate, pcm_of
from speech.service import ListeningCapabilities, Partial, Recording, Segment, Transcript
from speech.transcribe import languages
from speech.transcribe.frames import PROVIDER, FrameReader, audio_event
from speech.transcribe.signing import Endpoint

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

CONNECT_S = 10.0
_CLOSE_S = 0.5
_CHUNK_S = 0.2
_AT_ONCE_S = 60.0
"""So much of a recording is sent as fast as the connection takes it: whoever said it waits for the answer. Amazon's own
examples pace files from five minutes on. Source: README of github.com/awslabs/amazon-transcribe-streaming-sdk"""
_SPEED = 10.0
"""What follows is sent so many times as fast as it was spoken: the service keeps up, and its limits are not touched."""
_SILENCE_AFTER_S = 5.0
"""Without audio for 15 s the service gives up; live audio that pauses is filled up with silence long before."""
_RATES = (16_000, 8_000)
"""What is sent: telephone audio as it is, all other as the models hear it."""
_LIMITS = decoding.Limits()
QUOTA = Quota(per_second=25, burst=25, concurrency=25)
"""Streams of an account that asked for no more. Source: docs.aws.amazon.com/general/latest/gr/transcribe.html"""
_LIVE_S = 4 * 3600.0
"""The longest stream. Source: docs.aws.amazon.com/transcribe/latest/dg/limits-guidelines.html"""
_CAPABILITIES = ListeningCapabilities(
    languages=languages.STREAMING, identifies=True, containers=decoding.DECODABLE, live=True, max_s=_LIMITS.max_s
)


class TranscribeStreaming:
    """Transcribe's streams, with the credentials, profile and region that boto3 finds; `AWS_REGION` too."""

    name = PROVIDER
    target = f"{PROVIDER}/streaming"

    def __init__(
        self, url: str = "", targets: Mapping[str, Target] | None = None, store: PermitStore | None = None
    ) -> None:
        """`url` instead of the region's own endpoint: `ws://host:port` or `wss://host:port`.

        `targets` as in the settings, and `store`, for the `Limiter`.
        """
        self._endpoint = Endpoint(url, provider=PROVIDER)
        self._limiter = Limiter(self.target, QUOTA, targets or {}, store)

    def capabilities(self) -> ListeningCapabilities:
        """See `SpeechToText`."""
        return _CAPABILITIES

    async def transcribe(self, recording: Recording) -> AsyncGenerator[Partial | Segment | Transcript, None]:
        """See `SpeechToText`."""
        query, language = _query(recording)
        pcm = None
        if isinstance(recording.audio, bytes):
            pcm = await pcm_of(recording, provider=PROVIDER, limits=_LIMITS)
            if pcm.silent:
                yield Transcript(text="", language=language, segments=(), duration_s=pcm.duration_s, requests=0)
                return
            rate = _sent_rate(pcm.rate)
            source = _paced(await asyncio.to_thread(pcm.at, rate))
        else:
            given = live_rate(recording, provider=PROVIDER)
            rate = _sent_rate(given)
            source = _without_pause(resampled(recording.audio, given, rate), rate)
        segments: list[Segment] = []
        words: list[float] = []
        reader = FrameReader()
        async with self._limiter.turn():
            url = await self._endpoint.presigned(query | {"sample-rate": str(rate)})
            async with _stream(url) as socket, _sending(socket, source, rate) as sender:
                async for message in _messages(socket, sender):
                    for heard in reader.read(message):
                        language = heard.language or language
                        words += heard.words
                        if isinstance(heard.result, Segment):
                            segments.append(heard.result)
                        yield heard.result
        if not reader.between_frames:
            raise errors.StreamInterrupted(provider=PROVIDER)
        yield Transcript(
            text=languages.joined([segment.text for segment in segments], language),
            language=language,
            segments=tuple(segments),
            confidence=confidence(words),
            duration_s=pcm.duration_s if pcm is not None else sender.result() / BYTES / rate,
        )

    async def warm_up(self) -> None:
        """See `SpeechToText`. Decoding has libraries of its own."""
        await asyncio.to_thread(_load)
        await self._endpoint.presigned({})

    async def aclose(self) -> None:
        """See `SpeechToText`. Each stream has a connection of its own, closed at its end."""


def _load() -> None:
    for library in ("numpy", "soundfile", "soxr", "websockets.asyncio.client"):
        importlib.import_module(library)


def _query(recording: Recording) -> tuple[dict[str, str], str]:
    """The parameters of a stream, and its language if that is known."""
    common = {
        "media-encoding": "pcm",
        "enable-partial-results-stabilization": "true",
        "partial-results-stability": "high",
    }
    if language := languages.fixed(recording, languages.STREAMING, provider=PROVIDER):
        return common | {"language-code": language}, language
    options = languages.candidates(recording, languages.STREAMING, provider=PROVIDER)
    return common | {"identify-language": "true", "language-options": ",".join(options)}, ""


async def _paced(pcm: Pcm) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    start = loop.time()
    for number, chunk in enumerate(pcm.chunks(_CHUNK_S)):
        if (early := start + (number * _CHUNK_S - _AT_ONCE_S) / _SPEED - loop.time()) > 0:
            await asyncio.sleep(early)
        yield chunk


def _sent_rate(given: int) -> int:
    return given if given in _RATES else _RATES[0]


async def _without_pause(chunks: AsyncIterable[bytes], rate: int) -> AsyncIterator[bytes]:
    """The chunks, and silence where none come for a while."""
    iterator = aiter(chunks)
    coming: asyncio.Task[bytes] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(_next(iterator))
            done, _ = await asyncio.wait((coming,), timeout=_SILENCE_AFTER_S)
            if not done:
                yield bytes(int(rate * _CHUNK_S) * BYTES)
                continue
            if not (chunk := coming.result()):
                return
            coming = None
            yield chunk
    finally:
        if coming is not None:
            coming.cancel()


async def _next(iterator: AsyncIterator[bytes]) -> bytes:
    """The next chunk that is not empty; empty at the end."""
    async for chunk in iterator:
        if chunk:
            return chunk
    return b""


@asynccontextmanager
async def _stream(url: str) -> AsyncIterator["ClientConnection"]:
    """A connection to the service. Raises a class of `speech.errors`."""
    from websockets.asyncio.client import connect
    from websockets.exceptions import InvalidHandshake, InvalidStatus, WebSocketException

    try:
        socket = await connect(
            url, open_timeout=CONNECT_S, close_timeout=_CLOSE_S, compression=None, ping_interval=None, max_size=2**20
        )
    except InvalidStatus as error:
        response = error.response
        code = response.headers.get("x-amzn-ErrorType", "").partition(":")[0]
        raise meant(
            code, _message(bytes(response.body or b"")), provider=PROVIDER, status=response.status_code
        ) from None
    except TimeoutError:
        raise errors.TimedOut("the stream could not be opened in time", provider=PROVIDER) from None
    except (OSError, InvalidHandshake, EOFError) as error:
        raise errors.ConnectionFailed(f"the stream could not be opened: {error}", provider=PROVIDER) from error
    except WebSocketException as error:  # of an address, or a proxy's, that is none: it repeats it, signature and all
        detail = f"the stream could not be opened: {type(error).__name__}; its address begins with wss:// or ws://"
        raise errors.ConnectionFailed(detail, provider=PROVIDER) from None
    try:
        yield socket
    except (GeneratorExit, asyncio.CancelledError):
        socket.transport.abort()
        raise
    finally:
        await socket.close()


def _message(body: bytes) -> str:
    """What a refused handshake says, which is JSON if it comes from Amazon."""
    try:
        said = msgspec.json.decode(body or b"{}", type=dict[str, Any])
    except msgspec.DecodeError:
        return ""
    return str(said.get("message") or said.get("Message") or "")


@asynccontextmanager
async def _sending(
    socket: "ClientConnection", source: AsyncIterable[bytes], rate: int
) -> AsyncIterator["asyncio.Task[int]"]:
    """Sends the audio meanwhile; its result is how many bytes there were."""
    task = asyncio.create_task(_send(socket, source, rate))

    def ended(done: asyncio.Task[int]) -> None:
        if not done.cancelled() and done.exception() is not None:
            socket.transport.abort()  # ends the receiving side, which raises it

    task.add_done_callback(ended)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def _send(socket: "ClientConnection", source: AsyncIterable[bytes], rate: int) -> int:
    from websockets.exceptions import ConnectionClosed

    sent = 0
    size = int(rate * _CHUNK_S) * BYTES
    try:
        async for chunk in source:
            for start in range(0, len(chunk), size):
                some = chunk[start : start + size]
                await socket.send(audio_event(some))
                sent += len(some)
            if sent > _LIVE_S * rate * BYTES:
                raise errors.AudioTooLarge(f"audio: a stream is at most {_LIVE_S:g} s long", provider=PROVIDER)
        await socket.send(audio_event(b""))
    except ConnectionClosed:
        return -1  # the receiving side tells why
    return sent


async def _messages(socket: "ClientConnection", sender: "asyncio.Task[int]") -> AsyncIterator[bytes]:
    """What comes in until the service closes the stream, having been told that there is no more audio.

    Raises what the sender raised, and `errors.StreamInterrupted`.
    """
    from websockets.exceptions import ConnectionClosed, ConnectionClosedOK

    try:
        while True:
            message = await socket.recv()
            if isinstance(message, str):
                raise errors.MalformedAnswer("text where frames should be", provider=PROVIDER)
            yield message
    except ConnectionClosed as error:
        if sender.done() and not sender.cancelled() and (failure := sender.exception()) is not None:
            raise failure from None
        if not isinstance(error, ConnectionClosedOK) or not sender.done() or sender.result() < 0:
            raise errors.StreamInterrupted(provider=PROVIDER) from None
