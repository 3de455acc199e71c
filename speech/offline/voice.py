"""The process of the voice: `python -m speech.offline.voice`, see `speech.offline.frames`."""

from collections.abc import Callable, Iterator

from speech.offline.frames import Frame, serve

RATE = 24_000
_MOST_PHONEMES = 400
"""More in one go take long, and the model was not made for them."""


def load() -> Callable[[Iterator[Frame]], Iterator[Frame]]:
    """Loads hibari. What is returned takes `{text, speed}` and gives `{pcm}`, once for each sentence."""
    import numpy as np
    from hibari import Hibari

    voice = Hibari()
    voice("Ready.")  # loads the rest of it

    def answer(request: Iterator[Frame]) -> Iterator[Frame]:
        for frame in request:
            for phonemes in voice.phonemize(frame["text"]):
                for start in range(0, len(phonemes), _MOST_PHONEMES):
                    some = phonemes[start : start + _MOST_PHONEMES]
                    samples = voice.from_ids(voice.ids(some), frame["speed"], np.random.default_rng(0))
                    yield {"pcm": (samples.clip(-1, 1) * 32_767).astype("<i2").tobytes()}

    return answer


if __name__ == "__main__":
    serve(load)
