"""What the numbers of the report mean."""

import math

import pytest

from benchmarks import table
from benchmarks.figures import Row, Spread, Target, in_ms, percentile


def test_a_percentile_is_a_sample() -> None:
    samples = [float(n) for n in range(100, 0, -1)]
    assert percentile(samples, 0.5) == 50
    assert percentile(samples, 0.99) == 99
    assert percentile([3.0], 0.99) == 3
    assert math.isnan(percentile([], 0.5))


def test_one_disturbed_round_moves_no_median_but_stays_in_the_tail() -> None:
    quiet, disturbed = [1.0] * 50, [9.0] * 50
    assert Spread.of([quiet, disturbed, quiet]) == Spread(p50=1.0, p99=9.0)


def test_a_target_is_held_against_the_overhead_where_there_is_one() -> None:
    p50, p99 = in_ms("callback", [[0.110] * 100], [[0.100] * 100], p50=8.0, p99=20.0)
    assert p50.overhead == pytest.approx(10.0)
    assert p50.ratio == pytest.approx(1.1)
    assert not p50.met
    assert p99.met
    rate = Row(name="jobs", value=300.0, unit="/s", direct=1500.0, additive=False, target=Target(at_least=250.0))
    assert (rate.overhead, rate.ratio, rate.met) == (None, 0.2, True)
    assert Row(name="jobs", value=1.0, unit="/s").met is None


def test_few_samples_have_a_maximum_and_no_99th_percentile() -> None:
    _, tail = in_ms("callback", [[0.010], [0.500]], p99=20.0)
    assert (tail.name, tail.value, tail.met) == ("callback, max", 500.0, None)


def test_the_table_tells_what_was_not_met_and_what_could_not_be_measured() -> None:
    rows = [
        Row(name="late", value=30.0, unit="ms", target=Target(at_most=25.0), note="n=3"),
        Row(name="memory", value=math.nan, unit="MiB"),
    ]
    text = table.section("(x) Things", ("How.",), rows)
    title, how, _, late, memory = text.rstrip().splitlines()
    assert (title, how.strip()) == ("(x) Things", "How.")
    assert late.split() == ["late", "30.0", "ms", "-", "-", "-", "<=", "25", "ms", "NOT", "MET", "n=3"]
    assert memory.split() == ["memory", "n/a", "-", "-", "-", "-"]
