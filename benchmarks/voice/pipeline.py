"""pipecat's side: as many pipelines as there are turns at once, in this process, on the same scripted vendors.

Runs in pipecat's own environment, with nothing of Ringback: told and telling in lines of JSON, as `benchmarks.children`
has it. Source of what is set here: the docstrings of pipecat 1.14.
"""

import asyncio
import json
import os
import sys
import time
import wave
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import uvloop
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from loguru import logger
from pipecat.frames.frames import (
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    LLMFullResponseEndFrame,
    TTSAudioRawFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.aws.stt import AWSTranscribeSTTService
from pipecat.services.aws.tts import AWSPollyTTSService
from pipecat.services.aws.utils import build_event_message
from pipecat.services.openai.llm import OpenAILLMService
from pipecat.turns.user_start import VADUserTurnStartStrategy
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.workers.runner import WorkerRunner

_RATE = 16_000
_FRAME_BYTES = 6_400
"""0.2 s, as Ringback sends a recording to Transcribe."""
_LIMIT_S = 30.0
_CONNECTIONS = 100
_SYSTEM = "You are a call center's assistant. Answer in a few sentences."


class _Transcribe(AWSTranscribeSTTService):
    """pipecat's own, led to the scripted vendor, and telling it when the audio is over.

    Its own never says so: it leaves it to Transcribe to notice the silence. As the vendor then closes the stream, there
    is a new one for each turn.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._ended = False
        self._wanted = asyncio.Event()
        self._connected = asyncio.Event()
        self.add_event_handler("on_connected", self._on_connected)

    async def _on_connected(self, *_: Any) -> None:
        self._connected.set()

    async def ready(self) -> None:
        """Returns when there is a stream for the next turn."""
        self._wanted.set()
        await self._connected.wait()

    async def _receive_messages(self) -> None:
        await super()._receive_messages()
        while self._ended:
            self._ended = False
            await self._wanted.wait()
            await self._disconnect_websocket()
            await self._connect_websocket()
            await super()._receive_messages()

    async def _websocket_connect(self, uri: str, **options: Any) -> Any:
        # The URL, and with it the Host that is signed, stays Amazon's.
        to = urlsplit(os.environ["RINGBACK_TRANSCRIBE_STREAMING_URL"])
        return await super()._websocket_connect(
            uri.replace("wss://", "ws://", 1), host=to.hostname, port=to.port, **options
        )

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Sends the empty event that ends the audio."""
        await super().process_frame(frame, direction)
        if isinstance(frame, VADUserStoppedSpeakingFrame):
            self._ended = True
            self._wanted.clear()
            self._connected.clear()
            await self._get_websocket().send(build_event_message(b""))


class _OneClient:
    """Stands for an aiobotocore session, and hands out one client of it to everyone.

    pipecat's own service makes a client for each sentence, which costs it 5 to 50 ms of the one thread that all
    pipelines share, and 150 ms the first time.
    """

    def __init__(self, running: AsyncExitStack) -> None:
        """The client lives as long as `running`."""
        self._running = running
        self._client: Any = None

    async def open(self, service: str, **options: Any) -> None:
        """Makes it."""
        config = AioConfig(max_pool_connections=_CONNECTIONS)
        made = get_session().create_client(service, config=config, **options)
        self._client = await self._running.enter_async_context(made)

    @asynccontextmanager
    async def create_client(self, _: str, **__: Any) -> AsyncIterator[Any]:
        """As a session's."""
        yield self._client


class _Polly(AWSPollyTTSService):
    """pipecat's own, with the client that all share."""

    def __init__(self, clients: _OneClient, **options: Any) -> None:
        super().__init__(**options)
        self._aws_session = clients


class _Ear(FrameProcessor):
    """At the pipeline's end, where a transport would play the sound."""

    def __init__(self) -> None:
        super().__init__()
        self.listen()

    def listen(self) -> None:
        """To the next reply."""
        self.over = asyncio.Event()
        self.failure = ""
        self.first = self.last = 0.0

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Notes when sound came, and passes everything on."""
        await super().process_frame(frame, direction)
        if isinstance(frame, TTSAudioRawFrame):
            self.last = time.monotonic()
            self.first = self.first or self.last
        elif isinstance(frame, LLMFullResponseEndFrame):
            self.over.set()
        await self.push_frame(frame, direction)

    def fail(self, reason: str) -> None:
        """There is no more to hear."""
        self.failure = reason
        self.over.set()


class _Call:
    """One pipeline, which takes one turn after the other, as in a call."""

    def __init__(self, clients: _OneClient, model: str, language: str, voice: str) -> None:
        """Nothing in it waits for more speech, nor for a transcript that might come late."""
        self._transcribe = _Transcribe(
            region=os.environ["AWS_REGION"],
            sample_rate=_RATE,
            ttfs_p99_latency=0.0,
            settings=AWSTranscribeSTTService.Settings(language=language),
        )
        llm = OpenAILLMService(
            base_url=os.environ["OPENAI_BASE_URL"],
            api_key=os.environ["OPENAI_API_KEY"],
            settings=OpenAILLMService.Settings(model=model, system_instruction=_SYSTEM),
        )
        polly = _Polly(
            clients,
            region=os.environ["AWS_REGION"],
            sample_rate=_RATE,
            settings=AWSPollyTTSService.Settings(voice=voice, language=language, engine="neural"),
        )
        strategies = UserTurnStrategies(
            start=[VADUserTurnStartStrategy()], stop=[SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=0.0)]
        )
        self._context = LLMContext()
        aggregators = LLMContextAggregatorPair(
            self._context,
            user_params=LLMUserAggregatorParams(user_turn_strategies=strategies, audio_idle_timeout=0),
        )
        self._ear = _Ear()
        self._worker = PipelineWorker(
            Pipeline([self._transcribe, aggregators.user(), llm, polly, self._ear, aggregators.assistant()]),
            params=PipelineParams(audio_in_sample_rate=_RATE, audio_out_sample_rate=_RATE),
            enable_rtvi=False,
            enable_turn_tracking=False,
            idle_timeout_secs=None,
        )
        self._started = asyncio.Event()
        self._worker.add_event_handler("on_pipeline_started", self._on_started)
        self._worker.add_event_handler("on_pipeline_error", self._on_error)

    async def _on_started(self, *_: Any) -> None:
        self._started.set()

    async def _on_error(self, _: Any, frame: ErrorFrame) -> None:
        self._ear.fail(frame.error)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["_Call"]:
        """Runs it."""
        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(self._worker)
        task = asyncio.create_task(runner.run())
        try:
            async with asyncio.timeout(_LIMIT_S):
                await self._started.wait()
            yield self
        finally:
            await self._worker.cancel()
            await asyncio.wait((task,), timeout=_LIMIT_S)

    async def ready(self) -> None:
        """Connected to Transcribe, as it is while someone speaks; and nothing was said before."""
        async with asyncio.timeout(_LIMIT_S):
            await self._transcribe.ready()
        self._context.set_messages([])
        self._ear.listen()

    async def turn(self, audio: bytes) -> dict[str, Any]:
        """All of the audio at once, then the end of speech; when the first and the last sound came out, in seconds."""
        frames = [
            InputAudioRawFrame(audio[at : at + _FRAME_BYTES], _RATE, 1) for at in range(0, len(audio), _FRAME_BYTES)
        ]
        began = time.monotonic()
        await self._worker.queue_frames(
            [VADUserStartedSpeakingFrame(start_secs=0.0), *frames, VADUserStoppedSpeakingFrame(stop_secs=0.0)]
        )
        ear = self._ear
        try:
            async with asyncio.timeout(_LIMIT_S):
                await ear.over.wait()
        except TimeoutError:
            ear.fail(f"no reply within {_LIMIT_S:g} s")
        if not ear.first:
            ear.fail(ear.failure or "no sound")
        return {"first_audio_s": ear.first - began, "last_audio_s": ear.last - began, "failure": ear.failure}


async def _round(calls: list[_Call], spread_s: float, audio: bytes) -> list[dict[str, Any]]:
    """A turn of each, begun one after the other within `spread_s` seconds."""

    async def one(number: int, call: _Call) -> dict[str, Any]:
        await asyncio.sleep(spread_s * number / len(calls))
        return await call.turn(audio)

    await asyncio.gather(*(call.ready() for call in calls))
    return list(await asyncio.gather(*(one(number, call) for number, call in enumerate(calls))))


async def _main() -> None:
    """Tells that it is ready; then what came of each `{model, language, voice, recording, turns, spread_s}`."""
    _tell("ready")
    calls: list[_Call] = []
    of = None
    async with AsyncExitStack() as process, AsyncExitStack() as running:
        clients = _OneClient(process)
        await clients.open("polly", region_name=os.environ["AWS_REGION"])
        while line := await asyncio.to_thread(sys.stdin.readline):
            told = json.loads(line)
            if of != (of := (told["model"], told["language"], told["voice"])):
                await running.aclose()
                calls = []
            while len(calls) < told["turns"]:
                calls.append(await running.enter_async_context(_Call(clients, *of).running()))
            with wave.open(told["recording"]) as recording:
                audio = recording.readframes(recording.getnframes())
            _tell(await _round(calls[: told["turns"]], told["spread_s"], audio))


def _tell(told: Any) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    logger.remove()
    logger.add(sys.stderr, level="ERROR")
    uvloop.run(_main())
