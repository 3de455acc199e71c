"""How much is measured: everything that takes time or load, in one place."""

from collections.abc import Mapping

import msgspec


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """The size of a run; times in seconds. Each batch is made once a round for each side."""

    rounds: int
    """How often each comparison is repeated, the sides taking turns."""
    instant_s: Mapping[int, float]
    """Of a batch of calls to the instant upstream, by how many callers call at the same time."""
    half_s: Mapping[int, float]
    """The same for the upstream that takes half a second."""
    paced_s: Mapping[int, float]
    """The same for streams of the paced upstream."""
    rate_s: float
    """Of a batch that counts requests a second, not counting its ramp."""
    ramp_s: float
    """Until such a batch is in its stride."""
    at_once: tuple[int, ...]
    """Callers in such a batch; the best number of them counts."""
    warm_s: float
    """Load on each side before anything is measured."""
    breath_s: float
    """Between two batches, for the work that the first one left behind."""
    settle_s: float
    """Rest before memory is looked at."""
    starts: int
    """Starts before the one that everything else is measured on; the first is not counted: it warms the file cache."""


# At least 200 samples for each side with one caller, 500 with more.
FULL = Scale(
    rounds=4,
    instant_s={1: 2.0, 10: 3.0, 50: 3.0},
    half_s={1: 25.5, 10: 7.0, 50: 4.0},
    paced_s={1: 25.5, 10: 7.0, 50: 4.0},
    rate_s=4.0,
    ramp_s=1.0,
    at_once=(16, 64),
    warm_s=4.0,
    breath_s=0.5,
    settle_s=3.0,
    starts=3,
)
QUICK = Scale(
    rounds=1,
    instant_s={1: 0.8, 10: 0.8, 50: 1.0},
    half_s={1: 1.6, 10: 1.1, 50: 1.1},
    paced_s={1: 1.6, 10: 1.1, 50: 1.1},
    rate_s=1.2,
    ramp_s=0.4,
    at_once=(64,),
    warm_s=2.0,
    breath_s=0.2,
    settle_s=0.5,
    starts=0,
)
