"""The registry: those that the settings name, made once, with nothing imported before."""

import subprocess
import sys
from typing import get_args, get_type_hints

import pytest

from jobs.settings import Settings
from speech import errors
from speech.audio.pcm import Pcm
from speech.registry import LISTENING, SPEAKING, SpeechServices
from speech.service import Recording
from tests.contract.speech.case import live, tone

M4A = b"\0\0\0\x20ftypM4A " + bytes(500)
AMR = b"#!AMR\n" + bytes(500)


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


TAKEN = (
    (Recording(audio=tone(0.1)), "transcribe"),
    (Recording(audio=tone(0.1), language="ko-KR", languages=("en", "ja")), "transcribe"),
    (Recording(audio=M4A, language="ko"), "transcribe-batch"),
    (Recording(audio=AMR), "transcribe-batch"),
    (Recording(audio=tone(0.1), language="tr-TR"), "transcribe-batch"),
    (Recording(audio=tone(0.1), languages=("ko-KR", "et-EE")), "transcribe-batch"),
    # What nobody takes the first one refuses, in its own words.
    (Recording(audio=b"rubbish"), "transcribe"),
    (Recording(audio=b""), "transcribe"),
    (Recording(audio=M4A, language="tlh"), "transcribe"),
    (Recording(audio=live(Pcm(bytes(3_200), 16_000)), sample_rate=16_000, language="tr-TR"), "transcribe"),
)


@pytest.mark.parametrize(("recording", "expected"), TAKEN)
async def test_what_streams_do_not_take_goes_through_a_batch(recording: Recording, expected: str) -> None:
    services = SpeechServices(Settings(stt="transcribe", s3_bucket="our-audio"))
    assert services.listening_to(recording).name == expected
    without = SpeechServices(Settings(stt="transcribe"))
    if expected == "transcribe":
        assert without.listening_to(recording).name == expected
    else:
        with pytest.raises(errors.Unsupported, match=r"^(audio|languages?): .* (send|name) .*RINGBACK_S3_BUCKET"):
            without.listening_to(recording)
    assert SpeechServices(Settings(stt="offline", s3_bucket="ours")).listening_to(recording).name == "offline"


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    script = (
        "import sys; from jobs.settings import Settings; from speech.registry import *;"
        "s = SpeechServices(Settings(s3_bucket='b'));"
        "[s.text_to_speech(n) for n in SPEAKING]; [s.speech_to_text(n) for n in LISTENING];"
        "print(*{'boto3', 'botocore', 'numpy', 'soundfile', 'soxr', 'websockets', 'hibari', 'pocketsphinx'}"
        " & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("", 0), done.stderr
