"""Which speech services there are, and the one instance of each that a process shares."""

import asyncio
from collections.abc import Callable

import structlog

from jobs.settings import Settings
from speech.service import SpeechToText, TextToSpeech

WARM_UP_AFTER_S = 2.0
_log = structlog.get_logger(__name__)


def _offline_speech(_: Settings) -> TextToSpeech:
    from speech.offline.speaking import OfflineSpeech

    return OfflineSpeech()


def _offline_recognition(_: Settings) -> SpeechToText:
    from speech.offline.listening import OfflineRecognition

    return OfflineRecognition()


def _polly(_: Settings) -> TextToSpeech:
    from speech.polly.client import PollySpeech

    return PollySpeech()


def _transcribe(settings: Settings) -> SpeechToText:
    from speech.transcribe.streaming import TranscribeStreaming

    return TranscribeStreaming(settings.transcribe_streaming_url)


def _transcribe_batch(settings: Settings) -> SpeechToText:
    from speech.transcribe.batch import TranscribeBatch

    return TranscribeBatch(settings.s3_bucket)


# Each imports its engine or SDK only when it is first asked for. The names are those of RINGBACK_TTS and RINGBACK_STT.
SPEAKING: dict[str, Callable[[Settings], TextToSpeech]] = {"polly": _polly, "offline": _offline_speech}
LISTENING: dict[str, Callable[[Settings], SpeechToText]] = {
    "transcribe": _transcribe,
    "transcribe-batch": _transcribe_batch,
    "offline": _offline_recognition,
}


class SpeechServices:
    """The speech services of one process: those that `settings.tts` and `settings.stt` name, or others by name."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._speaking: dict[str, TextToSpeech] = {}
        self._listening: dict[str, SpeechToText] = {}

    def text_to_speech(self, name: str = "") -> TextToSpeech:
        """The service, made on first use. Raises `KeyError` for a name that is none."""
        name = name or self._settings.tts or "offline"
        if name not in self._speaking:
            self._speaking[name] = SPEAKING[name](self._settings)
        return self._speaking[name]

    def speech_to_text(self, name: str = "") -> SpeechToText:
        """The service, made on first use. Raises `KeyError` for a name that is none."""
        name = name or self._settings.stt or "offline"
        if name not in self._listening:
            self._listening[name] = LISTENING[name](self._settings)
        return self._listening[name]

    async def warm_up(self) -> None:
        """Loads the services that the settings name, after those who are asked for at once had their time."""
        await asyncio.sleep(WARM_UP_AFTER_S)
        for service in (self.text_to_speech(), self.speech_to_text()):
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
