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
    """Of a batch that counts requests a second."""
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


# At least 200 samples for each side with one caller, 500 with more; for streams with one caller, 100.
FULL = Scale(
    rounds=4,
    instant_s={1: 2.0, 10: 5.0, 50: 4.5},
    half_s={1: 25.5, 10: 7.0, 50: 4.0},
    paced_s={1: 13.5, 10: 8.5, 50: 6.0},
    rate_s=4.5,
    at_once=(16, 64),
    warm_s=4.0,
    breath_s=0.5,
    settle_s=3.0,
    starts=3,
)
QUICK = Scale(
    rounds=1,
    instant_s={1: 0.6, 10: 0.6, 50: 0.6},
    half_s={1: 1.1, 10: 1.1, 50: 0.6},
    paced_s={1: 1.1, 10: 0.6, 50: 0.6},
    rate_s=1.0,
    at_once=(32,),
    warm_s=1.2,
    breath_s=0.1,
    settle_s=0.3,
    starts=0,
)
