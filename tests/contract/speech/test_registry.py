"""The registry: those that the settings name, made once, with nothing imported before."""

import subprocess
import sys
from typing import get_args, get_type_hints

from jobs.settings import Settings
from speech.registry import LISTENING, SPEAKING, SpeechServices


def test_every_choice_of_the_settings_can_be_made() -> None:
    hints = get_type_hints(Settings)
    assert set(get_args(hints["tts"])) - {""} == SPEAKING.keys()
    assert set(get_args(hints["stt"])) - {""} == LISTENING.keys()


async def test_makes_each_once_and_those_of_the_settings_by_default() -> None:
    services = SpeechServices(Settings(tts="polly", stt="transcribe"))
    assert services.text_to_speech() is services.text_to_speech("polly")
    assert services.speech_to_text().name == "transcribe"
    assert services.text_to_speech("offline").name == "offline"
    assert SpeechServices(Settings()).text_to_speech().name == "offline"
    await services.aclose()


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    script = (
        "import sys; from jobs.settings import Settings; from speech.registry import *;"
        "s = SpeechServices(Settings(s3_bucket='b'));"
        "[s.text_to_speech(n) for n in SPEAKING]; [s.speech_to_text(n) for n in LISTENING];"
        "print(*{'boto3', 'botocore', 'numpy', 'soundfile', 'soxr', 'websockets', 'hibari', 'pocketsphinx', 'aiohttp'}"
        " & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("", 0), done.stderr
