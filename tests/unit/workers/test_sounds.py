"""What is said of spoken audio."""

import msgspec
import pytest

from speech.audio import encoding
from speech.audio.pcm import Pcm
from speech.service import Spoken
from workers.sounds import Sound, duration_s

ENDED = Spoken(
    voice="Seoyeon", engine="neural", language="ko-KR", format="ogg_vorbis", sample_rate=24_000, characters=5
)


def test_how_long_one_file_is_and_that_several_are_not_known() -> None:
    ogg = encoding.encoded(Pcm(bytes(96_000), 24_000), "ogg_vorbis")
    sound = Sound(index=0, format="ogg_vorbis", sample_rate=24_000)
    sound.gather(ogg)
    assert duration_s(sound, ENDED) == pytest.approx(2.0, abs=0.05)
    sound.gather(ogg)
    assert duration_s(sound, msgspec.structs.replace(ENDED, requests=2)) is None
