"""`python -m benchmarks`: runs the measurements one after the other and prints the report as it comes."""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import ModuleType

import msgspec

from benchmarks import (
    accept,
    failover,
    guard,
    memory,
    overhead,
    startup,
    streams,
    system,
    table,
    throughput,
    upstream,
    usage,
)
from benchmarks.bench import Bench
from benchmarks.callers import Callers, closed_loop
from benchmarks.children import FAILURES, child, reason
from benchmarks.figures import Row
from benchmarks.scale import FULL, QUICK, Scale

TITLES = {
    "a": "(a) Accepting a job",
    "b": "(b) Overhead over a direct call",
    "c": "(c) Jobs a second",
    "d": "(d) Streams held by one gateway",
    "e": "(e) Resident memory",
    "f": "(f) Start-up",
    "g": "(g) Guarding a callback",
    "h": "(h) Failing over",
}
_ON_A_SYSTEM: dict[str, ModuleType] = {
    "a": accept,
    "b": overhead,
    "c": throughput,
    "d": streams,
    "e": memory,
    "h": failover,
}


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """What one measurement came to."""

    title: str
    rows: list[Row]
    failure: str = ""
    """Why there are no rows."""


Report = dict[str, Section]


async def run(scale: Scale, only: Sequence[str], say: Callable[[str], None]) -> Report:
    """Makes the measurements named in `only` (letters of `TITLES`), telling each section as text once it is there.

    One that fails is told so, and the others go on. Raises `Failed` if there is nothing to measure on.
    """
    report: Report = {}
    async with child("upstream") as vendors:
        url = str(await vendors.read())
        if "f" in only:
            report["f"] = await _section("f", startup, startup.measure(scale, url), say)
        if "g" in only:
            report["g"] = await _section("g", guard, guard.measure(scale), say)
        letters = [letter for letter in _ON_A_SYSTEM if letter in only]
        if letters:
            async with system.running(url) as started, Callers(url, started.url) as callers:
                bench = await _prepared(scale, url, started, callers)
                for letter in letters:
                    module = _ON_A_SYSTEM[letter]
                    report[letter] = await _section(letter, module, module.measure(bench), say)
    return dict(sorted(report.items()))


async def _prepared(scale: Scale, url: str, started: system.System, callers: Callers) -> Bench:
    await asyncio.sleep(scale.settle_s)
    at_rest = {role: usage.resident(pid) for role, pid in started.pids.items()}
    for call in (callers.called_back(upstream.INSTANT), callers.streamed(upstream.INSTANT)):
        await closed_loop(call, callers=16, seconds=scale.warm_s / 2)
    return Bench(scale=scale, upstream_url=url, system=started, callers=callers, at_rest=at_rest)


async def _section(
    letter: str, module: ModuleType, measured: Awaitable[list[Row]], say: Callable[[str], None]
) -> Section:
    title = TITLES[letter]
    try:
        rows = await measured
    except* FAILURES as group:
        found = Section(title=title, rows=[], failure=reason(group))
        say(f"{title}\n  could not be measured: {found.failure}\n")
    else:
        found = Section(title=title, rows=rows)
        say(table.section(title, module.HOW, rows))
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures Ringback as it runs.")
    parser.add_argument("--only", default=",".join(TITLES), metavar="a,b", help="these measurements (default: all)")
    parser.add_argument("--quick", action="store_true", help="one short round of each, in two minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the report as JSON")
    options = parser.parse_args()
    options.only = options.only.replace(" ", "").split(",")
    if unknown := set(options.only) - set(TITLES):
        parser.error(f"--only: {', '.join(sorted(unknown))} is none of {', '.join(TITLES)}")
    return options


def main() -> int:
    """Runs it; 1 if something could not be measured. A target that is not met is told, and is no failure."""
    import uvloop

    options = _options()
    found = usage.machine()
    watch = usage.Watch()
    print(
        f"Ringback: one gateway, one worker, embedded Valkey (AOF everysec), one fake upstream.\n"
        f"{found['cores']} cores, {found['architecture']}, {found['system']}, Python {found['python']};"
        f" everything, load generator included, shares them.\n",
        flush=True,
    )
    try:
        report = uvloop.run(run(QUICK if options.quick else FULL, options.only, lambda text: print(text, flush=True)))
    except* FAILURES as group:
        print(f"benchmarks: {reason(group)}", file=sys.stderr)
        sys.exit(1)
    except* KeyboardInterrupt:
        sys.exit(130)
    seconds, others = watch.seconds, watch.others
    missed = sum(row.met is False for section in report.values() for row in section.rows)
    aimed = sum(row.met is not None for section in report.values() for row in section.rows)
    print(f"{aimed - missed} of {aimed} targets met; took {seconds:.0f} s")
    print(f"Other work took {others:.0%} of the machine's CPU meanwhile")
    if options.json:
        document = {"machine": found, "quick": options.quick, "seconds": seconds, "others": others, "sections": report}
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(document)))
    return int(any(section.failure for section in report.values()))


if __name__ == "__main__":
    sys.exit(main())
