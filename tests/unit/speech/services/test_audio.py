"""Audio: what is taken for what, decoding of the good and the bad, resampling, encoding."""

import io
from collections.abc import AsyncIterator

import numpy as np
import pytest
import soundfile

from jobs.audio import sniffed
from speech import errors
from speech.audio import decoding, encoding
from speech.audio.decoding import Limits
from speech.audio.pcm import Pcm, resampled
from speech.service import AudioFormat
from tests.unit.speech.services import webm


def tone(seconds: float = 1.0, rate: int = 16_000, hertz: float = 440) -> Pcm:
    """A tone of medium loudness."""
    wave = np.sin(np.arange(int(seconds * rate)) * (hertz * 2 * np.pi / rate)) * 8_000
    return Pcm(wave.astype("<i2").tobytes(), rate)


def pitch(pcm: Pcm) -> float:
    """The loudest frequency, in Hz."""
    samples = np.frombuffer(pcm.data, "<i2").astype(float)
    return float(np.argmax(np.abs(np.fft.rfft(samples)))) * pcm.rate / len(samples)


def written(kind: str, subtype: str, *, rate: int = 16_000, channels: int = 1) -> bytes:
    """The tone as a file that our own encoding does not write."""
    file = io.BytesIO()
    samples = np.repeat(np.frombuffer(tone(rate=rate).data, "<i2")[:, None], channels, axis=1)
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


@pytest.mark.parametrize("audio_format", encoding.RATES)
def test_what_is_encoded_is_decoded(audio_format: AudioFormat) -> None:
    for rate in encoding.RATES[audio_format]:
        data = encoding.encoded(tone(), audio_format, rate)
        pcm = Pcm(data, rate) if audio_format == "pcm" else decoding.decoded(data, provider="test")
        assert pcm.rate == rate
        assert pcm.duration_s == pytest.approx(1, abs=0.1)
        assert pitch(pcm) == pytest.approx(440, abs=10)


def test_a_rate_that_a_format_cannot_have_is_refused() -> None:
    with pytest.raises(errors.Unsupported, match=r"^sample_rate: ogg_opus has"):
        encoding.encoded(tone(), "ogg_opus", 44_100)


@pytest.mark.parametrize(
    ("kind", "subtype", "rate", "channels"),
    [
        ("WAV", "PCM_24", 48_000, 2),
        ("WAV", "FLOAT", 44_100, 1),
        ("WAV", "ULAW", 8_000, 1),
        ("FLAC", "PCM_16", 16_000, 2),
        ("RF64", "PCM_16", 22_050, 1),
        ("WAVEX", "PCM_16", 16_000, 6),
    ],
)
def test_files_of_others(kind: str, subtype: str, rate: int, channels: int) -> None:
    pcm = decoding.decoded(written(kind, subtype, rate=rate, channels=channels), provider="test")
    assert pcm.rate == rate
    assert pcm.duration_s == pytest.approx(1, abs=0.01)
    assert pitch(pcm) == pytest.approx(440, abs=10)


def test_webm_of_a_browser_and_one_that_was_cut_off() -> None:
    whole = webm.recorded(encoding.encoded(tone(2), "ogg_opus"))
    assert sniffed(whole) == "webm"
    pcm = decoding.decoded(whole, provider="test")
    assert pcm.duration_s == pytest.approx(2, abs=0.1)
    assert pitch(pcm) == pytest.approx(440, abs=10)
    assert 0.5 < decoding.decoded(whole[: len(whole) // 2], provider="test").duration_s < 1.5
    with pytest.raises(errors.Unsupported, match="A_PCM"):
        decoding.decoded(webm.recorded(encoding.encoded(tone(), "ogg_opus"), codec=b"A_PCM"), provider="test")


@pytest.mark.parametrize("cut", [5, 30, 60, 100, 200])
def test_webm_that_has_no_sound_yet_is_refused(cut: int) -> None:
    whole = webm.recorded(encoding.encoded(tone(), "ogg_opus"))
    with pytest.raises(errors.BadAudio, match=r"^audio: "):
        decoding.decoded(whole[:cut], provider="test")


@pytest.mark.parametrize("audio_format", ["wav", "mp3"])
def test_files_that_end_early_are_taken_as_far_as_they_go(audio_format: AudioFormat) -> None:
    data = encoding.encoded(tone(2), audio_format)
    assert 0.5 < decoding.decoded(data[: len(data) // 2], provider="test").duration_s < 1.6


def test_a_wav_of_unknown_length() -> None:
    data = bytearray(encoding.encoded(tone(), "wav"))
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    assert decoding.decoded(bytes(data), provider="test").duration_s == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 1000,
        b"RIFF\0\0\0\0WAVE",
        b"OggS" + b"\0" * 100,
        b"ID3" + b"\0" * 1000,
        b"\xff\xfb\x90\x00" + b"\xff" * 5000,
        b"\x1aE\xdf\xa3" + b"\xff" * 99,
        b"\x1aE\xdf\xa3\x9fB\x86\x81\x01",
        b"fLaC" + b"\0" * 50,
        "안녕하세요".encode() * 100,
        encoding.encoded(tone(), "ogg_vorbis")[:2000],
        written("FLAC", "PCM_16")[:200],
    ],
)
def test_what_is_no_audio_is_refused(data: bytes) -> None:
    with pytest.raises(errors.BadAudio, match=r"^audio: ") as caught:
        decoding.decoded(data, provider="test")
    assert caught.value.code == "bad_audio"


def test_limits() -> None:
    data = written("FLAC", "PCM_16")
    with pytest.raises(errors.AudioTooLarge, match="bytes; at most 100"):
        decoding.decoded(data, provider="test", limits=Limits(max_bytes=100))
    for long in (data, encoding.encoded(tone(), "mp3"), webm.recorded(encoding.encoded(tone(), "ogg_opus"))):
        with pytest.raises(errors.AudioTooLarge, match=r"longer than the 0\.5 s"):
            decoding.decoded(long, provider="test", limits=Limits(max_s=0.5))
    with pytest.raises(errors.BadAudio, match="4000 samples a second; 8000 to 48000"):
        decoding.decoded(written("WAV", "PCM_16", rate=4_000), provider="test")
    with pytest.raises(errors.BadAudio, match="9 channels"):
        decoding.decoded(written("WAV", "PCM_16", channels=9), provider="test")


def test_what_is_known_but_not_decoded_is_told() -> None:
    with pytest.raises(errors.Unsupported, match=r"m4a is not taken here; send wav, mp3, ogg, flac or webm"):
        decoding.decoded(b"\0\0\0\x20ftypM4A " + bytes(100), provider="test")


def test_silence() -> None:
    assert Pcm(b"", 16_000).silent
    assert Pcm(bytes(100), 16_000).silent
    assert Pcm(np.full(100, -20, "<i2").tobytes(), 16_000).silent
    assert not Pcm(np.full(100, -32_768, "<i2").tobytes(), 16_000).silent


@pytest.mark.parametrize("given", [8_000, 16_000, 44_100, 48_000])
async def test_resampling_as_it_comes_is_that_of_the_whole(given: int) -> None:
    pcm = tone(rate=given)

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(pcm.data), 333):  # within samples, too
            yield pcm.data[start : start + 333]

    whole = b"".join([chunk async for chunk in resampled(chunks(), given, 16_000)])
    out = Pcm(whole, 16_000)
    assert out.duration_s == pytest.approx(1, abs=0.01)
    assert pitch(out) == pytest.approx(440, abs=5)


@pytest.mark.parametrize(("audio_format", "rate"), [(name, rate) for name, of in encoding.RATES.items() for rate in of])
def test_what_is_encoded_as_it_comes_is_one_file(audio_format: AudioFormat, rate: int) -> None:
    encoder = encoding.Encoder(audio_format, rate)
    parts = [encoder.encode(tone(1, 24_000)) for _ in range(4)] + [encoder.end()]
    assert sum(map(bool, parts)) > 1, "some of it comes before the end"
    whole = b"".join(parts)
    if audio_format == "pcm":
        assert len(whole) == 4 * rate * 2
    else:
        assert decoding.decoded(whole, provider="test").duration_s == pytest.approx(4, abs=0.3)
