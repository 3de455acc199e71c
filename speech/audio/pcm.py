"""Decoded audio: one channel of 16-bit samples, and resampling of it, whole or as it comes."""

from collections.abc import AsyncIterable, AsyncIterator, Iterator

import msgspec

BYTES = 2
"""Of a sample."""
SILENT = 33
"""A peak below this (-60 dB) is silence."""


class Pcm(msgspec.Struct, frozen=True):
    """Samples as 16-bit signed little-endian bytes, and how many of them make a second."""

    data: bytes
    rate: int

    @property
    def duration_s(self) -> float:
        """Seconds."""
        return len(self.data) / BYTES / self.rate

    @property
    def silent(self) -> bool:
        """Whether there is nothing to be heard; true if there are no samples."""
        import numpy as np

        samples = np.frombuffer(self.data, "<i2")
        return samples.size == 0 or int(max(samples.max(), -int(samples.min()))) < SILENT

    def at(self, rate: int) -> "Pcm":
        """The same with `rate` samples a second."""
        if rate == self.rate:
            return self
        import numpy as np
        import soxr

        return Pcm(soxr.resample(np.frombuffer(self.data, "<i2"), self.rate, rate).tobytes(), rate)

    def chunks(self, seconds: float) -> Iterator[bytes]:
        """Its bytes, so many seconds at a time."""
        size = max(1, int(self.rate * seconds)) * BYTES
        for start in range(0, len(self.data), size):
            yield self.data[start : start + size]


async def resampled(chunks: AsyncIterable[bytes], given: int, wanted: int) -> AsyncIterator[bytes]:
    """Pcm as it comes, with `wanted` instead of `given` samples a second; a chunk may end within a sample.

    What comes out lags a few milliseconds behind. A chunk is resampled in microseconds, so no thread is used.
    """
    import numpy as np
    import soxr

    stream = soxr.ResampleStream(given, wanted, 1, dtype="int16") if given != wanted else None
    rest = b""
    async for chunk in chunks:
        whole = rest + chunk
        cut = len(whole) - len(whole) % BYTES
        whole, rest = whole[:cut], whole[cut:]
        out = stream.resample_chunk(np.frombuffer(whole, "<i2")).tobytes() if stream is not None else whole
        if out:
            yield out
    if stream is not None and (out := stream.resample_chunk(np.zeros(0, "<i2"), last=True).tobytes()):
        yield out
