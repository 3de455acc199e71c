"""What Amazon's services share: quotas, what errors mean, documents and frames."""

import asyncio

import pytest
from aiohttp import web

from jobs.routes import Quota
from ringback.testing.loopback import LoopbackServer
from ringback.testing.speech import transcribe
from ringback.testing.vendors import eventstream
from speech import errors
from speech.amazon.errors import meant
from speech.amazon.limiter import ProcessLimiter
from speech.transcribe import document
from speech.transcribe.frames import FrameReader, audio_event


async def test_a_burst_passes_and_the_rest_keeps_the_rate() -> None:
    limiter = ProcessLimiter(Quota(per_second=100, burst=5, concurrency=50))
    loop = asyncio.get_running_loop()
    start = loop.time()
    at: list[float] = []

    async def call() -> None:
        async with limiter.turn():
            at.append(loop.time() - start)

    await asyncio.gather(*(call() for _ in range(15)))
    assert at == sorted(at)
    assert at[-1] >= 0.099


async def test_no_more_at_once_than_allowed_and_cancelling_gives_the_place_back() -> None:
    limiter = ProcessLimiter(Quota(per_second=10_000, burst=100, concurrency=2))
    inside = most = 0
    full, leave = asyncio.Event(), asyncio.Event()

    async def call() -> None:
        nonlocal inside, most
        async with limiter.turn():
            inside += 1
            most = max(most, inside)
            if inside == 2:
                full.set()
            await leave.wait()
            inside -= 1

    calls = [asyncio.create_task(call()) for _ in range(6)]
    await full.wait()
    calls[0].cancel()
    leave.set()
    await asyncio.gather(*calls, return_exceptions=True)
    assert most == 2


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("ThrottlingException", 400, errors.RateLimited),
        ("LimitExceededException", 400, errors.RateLimited),
        ("com.amazonaws.polly#ServiceFailureException", 500, errors.Unavailable),
        ("TextLengthExceededException", 400, errors.BadText),
        ("LanguageNotSupportedException", 400, errors.Unsupported),
        ("SlowDown", 503, errors.RateLimited),
        ("Novel", 503, errors.Unavailable),
        ("Novel", 429, errors.RateLimited),
        ("Novel", 418, errors.BadRequest),
    ],
)
def test_what_an_error_means(code: str, status: int, expected: type[errors.SpeechError]) -> None:
    error = meant(code, "said so", provider="polly", status=status, retry_after="3")
    assert (type(error), error.detail, error.retry_after) == (expected, "said so", 3)
    assert error.retryable == (expected in (errors.RateLimited, errors.Unavailable))


def test_what_was_spoken_is_not_repeated() -> None:
    text = "my password is swordfish"
    error = meant("ValidationException", f"Value '{text}' at 'text' is not valid", provider="polly", text=text)
    assert "swordfish" not in error.detail


def test_a_document_without_segments_is_one() -> None:
    data = (
        b'{"results":{"transcripts":[{"transcript":"one two."}],"items":['
        b'{"type":"pronunciation","alternatives":[{"confidence":"0.5","content":"one"}],"start_time":"0.1","end_time":"0.4"},'
        b'{"type":"pronunciation","alternatives":[{"confidence":"1.0","content":"two"}],"start_time":"0.5","end_time":"0.9"},'
        b'{"type":"punctuation","alternatives":[{"confidence":"0.0","content":"."}]}]}}'
    )
    found = document.read(data, language="en-US", provider="test")
    ((text, start, end),) = [(part.text, part.start_s, part.end_s) for part in found.segments]
    assert (text, start, end, found.confidence) == ("one two.", 0.1, 0.9, 0.75)


@pytest.mark.parametrize(
    "data", [b"", b"<xml>", b"{}", b'{"results":{"transcripts":[]}}', b'{"results":{"transcripts":"no"}}']
)
def test_a_document_that_is_none(data: bytes) -> None:
    with pytest.raises(errors.MalformedAnswer):
        document.read(data, language="en-US", provider="test")


def test_a_document_of_silence() -> None:
    found = document.read(b'{"results":{"transcripts":[{"transcript":""}],"items":[]}}', language="ko-KR", provider="t")
    assert (found.text, found.segments, found.confidence) == ("", (), None)


def test_frames_of_audio_are_read_by_the_other_side() -> None:
    assert transcribe.audio_of(audio_event(b"\1\2" * 500)) == b"\1\2" * 500
    assert transcribe.audio_of(audio_event(b"")) == b""


def test_frames_in_any_cut_and_of_any_kind() -> None:
    from ringback.testing.speech.script import SpeechScript

    stream = b"".join(transcribe.results(SpeechScript(), {}))
    reader = FrameReader()
    heard = [item for start in range(0, len(stream), 7) for item in reader.read(stream[start : start + 7])]
    assert len(heard) == 3
    between = [reader.between_frames]
    list(reader.read(stream[:20]))
    assert [*between, reader.between_frames] == [True, False]
    with pytest.raises(errors.RateLimited):
        list(FrameReader().read(transcribe.exception("LimitExceededException", "too many")))
    for damaged in (b"\0" * 40, stream[:50] + b"\xff" + stream[51:]):
        with pytest.raises(errors.MalformedAnswer):
            list(FrameReader().read(damaged))


@pytest.mark.parametrize(
    "told",
    [
        b"[]",
        b"{}",
        b'{"Transcript":null}',
        b'{"Transcript":{"Results":[1]}}',
        b'{"Transcript":{"Results":[{"IsPartial":true,"StartTime":0,"EndTime":1,"Alternatives":["a"]}]}}',
        b'{"Transcript":{"Results":[{"IsPartial":false,"StartTime":"0","EndTime":1,"Alternatives":[{"Transcript":"a"}]}]}}',
        b'{"Transcript":{"Results":[{"IsPartial":false,"StartTime":0,"EndTime":1,"Alternatives":[{"Transcript":5}]}]}}',
        b'{"Transcript":{"Results":[{"IsPartial":false,"StartTime":0,"EndTime":1,"Alternatives":[{"Transcript":"\xff"}]}]}}',
    ],
)
def test_results_that_are_none(told: bytes) -> None:
    with pytest.raises(errors.MalformedAnswer):
        list(FrameReader().read(eventstream.event("TranscriptEvent", told)))


def test_results_without_what_they_need_not_have() -> None:
    result = b'{"IsPartial":false,"StartTime":0,"EndTime":1,"Alternatives":[{"Transcript":"a","Items":null}]}'
    told = b'{"Transcript":{"Results":[' + result + b',{"IsPartial":true,"StartTime":0,"EndTime":1}]}}'
    (heard,) = FrameReader().read(eventstream.event("TranscriptEvent", told))
    assert (heard.result.text, heard.language, heard.words) == ("a", "", ())


async def test_a_document_is_fetched_by_its_very_address() -> None:
    class Bucket(LoopbackServer):
        path = ""

        async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
            self.path = request.raw_path
            return web.Response(body=b"{}")

    with Bucket() as bucket:
        signed = "/a%2Fb/c.json?X-Amz-Security-Token=a%2Fb%2Bc%3D%3D&X-Amz-Credential=k%2F20261121&x=%20"
        assert await document.fetched(bucket.url + signed, provider="test") == b"{}"
        assert bucket.path == signed
    with pytest.raises(errors.ConnectionFailed):
        await document.fetched("", provider="test")
