"""Which speech services there are, and the one instance of each that a process shares."""

import asyncio
from collections.abc import Callable

import structlog

from jobs.permits import PermitStore
from jobs.settings import Settings
from speech import errors
from speech.recording import lack
from speech.service import Recording, SpeechToText, TextToSpeech

WARM_UP_AFTER_S = 2.0
ENGINES_AFTER_S = 5.0
"""Seconds since the worker was up, when everybody else is ready."""
OFFLINE = "offline"
_log = structlog.get_logger(__name__)


def _offline_speech(_settings: Settings, _store: PermitStore | None) -> TextToSpeech:
    from speech.offline.speaking import OfflineSpeech

    return OfflineSpeech()


def _offline_recognition(_settings: Settings, _store: PermitStore | None) -> SpeechToText:
    from speech.offline.listening import OfflineRecognition

    return OfflineRecognition()


def _polly(settings: Settings, store: PermitStore | None) -> TextToSpeech:
    from speech.polly.client import PollySpeech

    return PollySpeech(settings.targets, store)


def _transcribe(settings: Settings, store: PermitStore | None) -> SpeechToText:
    from speech.transcribe.streaming import TranscribeStreaming

    return TranscribeStreaming(settings.transcribe_streaming_url, settings.targets, store)


def _transcribe_batch(settings: Settings, _store: PermitStore | None) -> SpeechToText:
    from speech.transcribe.batch import TranscribeBatch

    return TranscribeBatch(settings.s3_bucket)


# Each imports its engine or SDK only when it is first asked for. The names are those of RINGBACK_TTS and RINGBACK_STT.
SPEAKING: dict[str, Callable[[Settings, PermitStore | None], TextToSpeech]] = {
    "polly": _polly,
    "offline": _offline_speech,
}
LISTENING: dict[str, Callable[[Settings, PermitStore | None], SpeechToText]] = {
    "transcribe": _transcribe,
    "transcribe-batch": _transcribe_batch,
    "offline": _offline_recognition,
}

SUBSTITUTES = {"transcribe": "transcribe-batch"}
"""Who takes the recordings that a service cannot take; with a bucket, which batches go through."""


class SpeechServices:
    """The speech services of one process: those that `settings.tts` and `settings.stt` name, or others by name."""

    def __init__(self, settings: Settings, store: PermitStore | None = None) -> None:
        """`store` is where all workers share the vendors' quotas; without one, they are this process's own."""
        self._settings = settings
        self._store = store
        self._speaking: dict[str, TextToSpeech] = {}
        self._listening: dict[str, SpeechToText] = {}

    def text_to_speech(self, name: str = "") -> TextToSpeech:
        """The service, made on first use. Raises `KeyError` for a name that is none."""
        name = name or self._settings.tts or "offline"
        if name not in self._speaking:
            self._speaking[name] = SPEAKING[name](self._settings, self._store)
        return self._speaking[name]

    def speech_to_text(self, name: str = "") -> SpeechToText:
        """The service, made on first use. Raises `KeyError` for a name that is none."""
        name = name or self._settings.stt or "offline"
        if name not in self._listening:
            self._listening[name] = LISTENING[name](self._settings, self._store)
        return self._listening[name]

    def listening_to(self, recording: Recording) -> SpeechToText:
        """The service for this recording: the one that the settings name or, for what it lacks, its substitute.

        So phones' m4a, which is not decoded here, goes through a batch. Raises `errors.Unsupported` if only a bucket
        is missing for that; what nobody takes the service itself refuses.
        """
        service = self.speech_to_text()
        if service.name not in SUBSTITUTES or not isinstance(recording.audio, bytes):
            return service
        able = service.capabilities()
        lacking = lack(recording, able)
        if lacking is None:
            return service
        substitute = self.speech_to_text(SUBSTITUTES[service.name])
        if lack(recording, substitute.capabilities()) is not None:
            return service
        if not self._settings.s3_bucket:
            otherwise = f"send {' or '.join(able.containers)}" if lacking.startswith("audio") else "name another one"
            raise errors.Unsupported(
                f"{lacking} is not taken by {service.name}; {otherwise}, or set RINGBACK_S3_BUCKET:"
                f" then such recordings go through {substitute.name}",
                provider=service.name,
            )
        return substitute

    async def warm_up(self) -> None:
        """Loads the services that the settings name, after those who are asked for at once had their time.

        Engines of this machine come later still: starting them takes all of a processor for two seconds.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.sleep(WARM_UP_AFTER_S)
        services: tuple[TextToSpeech | SpeechToText, ...] = (self.text_to_speech(), self.speech_to_text())
        for service in sorted(services, key=lambda service: service.name == OFFLINE):
            if service.name == OFFLINE:
                await asyncio.sleep(max(0.0, began + ENGINES_AFTER_S - loop.time()))
            try:
                await service.warm_up()
            except Exception as error:  # noqa: BLE001 - what an SDK raises the first call will tell in our words
                _log.info("speech_not_ready", service=service.name, error=type(error).__name__)

    async def aclose(self) -> None:
        """Closes those that were made."""
        made: tuple[TextToSpeech | SpeechToText, ...] = (*self._speaking.values(), *self._listening.values())
        self._speaking, self._listening = {}, {}
        for service in made:
            await service.aclose()
