"""The benchmarks run from end to end, on everything that they measure; what they measure is not looked at here."""

import math

import msgspec

from benchmarks.__main__ import TITLES, run
from benchmarks.scale import Scale

TINY = Scale(
    rounds=1,
    instant_s=0.2,
    paced_s=0.2,
    callers=(1, 2),
    throughput_s=0.5,
    ramp_s=0.1,
    warm_s=0.2,
    breath_s=0.01,
    at_once=3,
    in_flight=3,
    streams=(5,),
    streams_s=0.3,
    cold_starts=0,
    starts=1,
    settle_s=0.0,
)


async def test_every_measurement_tells_its_numbers() -> None:
    told: list[str] = []
    report = await run(TINY, list(TITLES), told.append)
    assert {letter: section.failure for letter, section in report.items()} == dict.fromkeys(TITLES, "")
    names = {letter: [row.name for row in section.rows] for letter, section in report.items()}
    assert all(names.values())
    assert all(len(set(found)) == len(found) for found in names.values())
    assert not [row.name for section in report.values() for row in section.rows if math.isnan(row.value)]
    assert all(TITLES[letter] in "\n".join(told) for letter in TITLES)

    (served,) = (row for row in report["d"].rows if row.name == "5 streams: served")
    assert served.value == 5
    assert served.met
    assert {role for role in ("gateway", "worker", "store", "supervisor") if f"{role}, at rest" in names["e"]} == {
        "gateway",
        "worker",
        "store",
        "supervisor",
    }
    overhead = [row for row in report["b"].rows if "callback" in row.name]
    assert all(row.direct and row.ratio and row.overhead is not None for row in overhead)
    assert msgspec.json.decode(msgspec.json.encode(report)).keys() == TITLES.keys()
