"""When a turn came to its stages."""

import asyncio
from typing import Literal

Stage = Literal["transcript_s", "first_token_s", "first_sentence_s", "first_audio_s", "last_audio_s"]


class Stages:
    """The stages of one attempt at a turn."""

    def __init__(self, timings: dict[str, float]) -> None:
        """`timings` get the seconds since now."""
        self._timings = timings
        self._clock = asyncio.get_running_loop().time
        self._began = self._clock()

    def reached(self, stage: Stage) -> None:
        """Notes the first time."""
        self._timings.setdefault(stage, self._now)

    def sounded(self) -> None:
        """Sound was told: the first, and perhaps the last."""
        self.reached("first_audio_s")
        self._timings["last_audio_s"] = self._now

    @property
    def _now(self) -> float:
        return round(self._clock() - self._began, 4)
