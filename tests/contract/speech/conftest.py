"""The services, one of each for all tests of a module, and the server that those of Amazon talk to."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from jobs.settings import Settings
from ringback.testing.speech.script import Service, SpeechScript
from ringback.testing.speech.server import SpeechServer
from speech.audio import decoding
from speech.audio.pcm import Pcm
from speech.registry import LISTENING, SPEAKING, SpeechServices
from speech.service import Utterance
from speech.transcribe.batch import TranscribeBatch
from tests.contract.speech.case import SAID, Listener, Speaker, say

WIRES: dict[str, Service | None] = {
    "polly": "polly",
    "transcribe": "transcribe-streaming",
    "transcribe-batch": "transcribe",
    "offline": None,
}
_NOT_FROM_OUTSIDE = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


@pytest.fixture(scope="module")
def speech_server() -> Iterator[SpeechServer]:
    """Amazon's speech services; the environment leads to it."""
    with SpeechServer() as server, pytest.MonkeyPatch.context() as patch:
        for name in _NOT_FROM_OUTSIDE:
            patch.delenv(name, raising=False)
            patch.delenv(name.lower(), raising=False)
        for name, value in server.environment().items():
            patch.setenv(name, value)
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def services(speech_server: SpeechServer) -> AsyncIterator[SpeechServices]:
    """All services."""
    streaming = speech_server.environment()["RINGBACK_TRANSCRIBE_STREAMING_URL"]
    made = SpeechServices(Settings(s3_bucket="our-audio", transcribe_streaming_url=streaming))
    yield made
    await made.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def batch(speech_server: SpeechServer) -> AsyncIterator[Listener]:
    """Transcribe in batches, looking at its jobs more often than it should at Amazon's."""
    service = TranscribeBatch("our-audio", first_s=0.01)
    yield Listener(id="transcribe-batch", service=service, wired="transcribe")
    await service.aclose()


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def _forgotten(speech_server: SpeechServer, services: SpeechServices) -> AsyncIterator[None]:
    """The server as if it were new, when what the test before left behind has been deleted."""
    yield
    if left := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(left, timeout=5)
    speech_server.reset()


@pytest.fixture(params=SPEAKING)
def speaker(request: pytest.FixtureRequest, services: SpeechServices) -> Speaker:
    """Each `TextToSpeech`."""
    name: str = request.param
    return Speaker(id=name, service=services.text_to_speech(name), wired=WIRES[name] is not None)


@pytest.fixture(params=LISTENING)
def listener(
    request: pytest.FixtureRequest, services: SpeechServices, batch: Listener, speech_server: SpeechServer
) -> Listener:
    """Each `SpeechToText`; the server understands what is `SAID`."""
    name: str = request.param
    speech_server.script(SpeechScript(heard=(SAID,), polls=1))
    if name == batch.id:
        return batch
    return Listener(id=name, service=services.speech_to_text(name), wired=WIRES[name])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def spoken(services: SpeechServices) -> Pcm:
    """A real voice that says what is `SAID`."""
    speaker = Speaker(id="offline", service=services.text_to_speech("offline"), wired=False)
    audio, _, _ = await say(speaker, Utterance(text=SAID, format="wav", pause_before_s=0.3, pause_after_s=0.5))
    return decoding.decoded(audio, provider="test")
