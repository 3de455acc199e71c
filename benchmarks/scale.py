"""How much is measured: everything that takes time or load, in one place."""

import msgspec


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """The size of a run; times in seconds."""

    rounds: int
    """How often each comparison is repeated, its parts taking turns."""
    instant_s: float
    """Of one batch of calls to the instant upstream."""
    paced_s: float
    """Of one batch of calls to the paced upstream, and of one at a steady rate."""
    callers: tuple[int, ...]
    """How many callers call at the same time."""
    throughput_s: float
    """Of one batch that counts jobs a second, not counting its ramp."""
    ramp_s: float
    """Until such a batch is in its stride."""
    breath_s: float
    """Between two batches, for the work that the first one left behind."""
    warm_s: float
    """Load before anything is measured."""
    at_once: int
    """Callers that keep the instant upstream busy."""
    in_flight: int
    """Callers that keep the slow upstream busy."""
    streams: tuple[int, ...]
    """Streams held at the same time."""
    streams_s: float
    """For how long events are appended to them."""
    cold_starts: int
    """Starts before those that are counted, which leave compiled modules and a warm file cache."""
    starts: int
    """Starts that are counted."""
    settle_s: float
    """Rest before memory is looked at."""


FULL = Scale(
    rounds=3,
    instant_s=1.5,
    paced_s=5.0,
    callers=(1, 10, 50),
    throughput_s=5.0,
    ramp_s=2.0,
    breath_s=0.3,
    warm_s=3.0,
    at_once=64,
    in_flight=240,
    streams=(100, 500, 1000),
    streams_s=8.0,
    cold_starts=1,
    starts=5,
    settle_s=3.0,
)
QUICK = Scale(
    rounds=1,
    instant_s=1.0,
    paced_s=2.5,
    callers=(1, 10, 50),
    throughput_s=3.0,
    ramp_s=1.0,
    breath_s=0.3,
    warm_s=2.0,
    at_once=64,
    in_flight=240,
    streams=(100, 500, 1000),
    streams_s=3.0,
    cold_starts=1,
    starts=2,
    settle_s=2.0,
)
