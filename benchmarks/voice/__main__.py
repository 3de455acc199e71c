"""`python -m benchmarks.voice`: turns by voice against the floor, beside pipecat; prints the report as it comes."""

import argparse
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec

from benchmarks import system, usage
from benchmarks.children import FAILURES, Child, Failed, child, reason
from benchmarks.voice import report, rounds, sides
from benchmarks.voice.rounds import FULL, QUICK, Comparison, Contestant, Name, Scale
from benchmarks.voice.script import BY_MODEL, Script

Say = Callable[[str], None]


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """What one script came to."""

    rows: list[report.Row]
    stages: list[report.Stage]
    failure: str = ""
    """Why there are no rows."""


async def run(scale: Scale, scripts: Sequence[Script], say: Say, *, environment: Path | None) -> dict[str, Section]:
    """Makes the measurements for each script, telling them as text once they are there.

    `environment`: where pipecat is installed; `None`: without it. A script that fails is told so, and the others go
    on. Raises `Failed` if one of the sides does not start.
    """
    found: dict[str, Section] = {}
    async with child("voice.vendors") as vendors, _contestants(vendors, environment) as contestants:
        for script in scripts:
            try:
                found[script.model] = await _section(contestants, vendors, script, scale, say)
            except* FAILURES as group:
                found[script.model] = Section(rows=[], stages=[], failure=reason(group))
                say(f"{script.title}\n  could not be measured: {reason(group)}\n")
    return found


@asynccontextmanager
async def _contestants(vendors: Child, environment: Path | None) -> AsyncIterator[Mapping[Name, Contestant]]:
    """The sides, running, on the same vendors."""
    async with AsyncExitStack() as stack:
        to: dict[str, str] = await vendors.read()
        started = await stack.enter_async_context(system.running(to["OPENAI_BASE_URL"].removesuffix("/v1"), **to))
        ringback = await stack.enter_async_context(sides.Ringback(started.url))

        def ours() -> dict[str, float]:
            return started.cpu_s() | {"vendors": usage.cpu_s(vendors.pid), "caller": usage.cpu_s(os.getpid())}

        found: dict[Name, Contestant] = {"ringback": Contestant(side=ringback, cpu_s=ours)}
        if environment is not None:
            side = await stack.enter_async_context(sides.pipecat(to, environment))

            def theirs() -> dict[str, float]:
                return {"pipecat": usage.cpu_s(side.pid), "vendors": usage.cpu_s(vendors.pid)}

            found["pipecat"] = Contestant(side=side, cpu_s=theirs)
        yield found


async def _section(
    contestants: Mapping[Name, Contestant], vendors: Child, script: Script, scale: Scale, say: Say
) -> Section:
    await rounds.warm(contestants, script, scale)
    found: list[Comparison] = [
        await rounds.compare(contestants, vendors, script, at_once, scale) for at_once in scale.rounds
    ]
    section = Section(
        rows=[row for comparison in found for row in report.rows(comparison)],
        stages=[stage for comparison in found for stage in report.stages(comparison)],
    )
    say(report.compared(script, section.rows))
    say(report.conditions(found))
    say(report.accounted(script, section.stages))
    return section


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.voice", description="Measures turns by voice against what the vendors take."
    )
    parser.add_argument("--quick", action="store_true", help="one short round of each, in two minutes")
    parser.add_argument("--no-pipecat", action="store_true", help="Ringback alone")
    parser.add_argument("--burst", action="store_true", help="all turns of a round begin at the same moment")
    parser.add_argument("--only", default=",".join(BY_MODEL), metavar="a,b", help="these scripts (default: all)")
    parser.add_argument("--at-once", default="", metavar="1,25", help="so many turns at once (default: 1,10,25)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the report as JSON")
    options = parser.parse_args()
    options.only = options.only.replace(" ", "").split(",")
    if unknown := set(options.only) - set(BY_MODEL):
        parser.error(f"--only: {', '.join(sorted(unknown))} is none of {', '.join(BY_MODEL)}")
    scale = QUICK if options.quick else FULL
    known = [str(number) for number in scale.rounds]
    chosen = options.at_once.replace(" ", "").split(",") if options.at_once else known
    if unknown := set(chosen) - set(known):
        parser.error(f"--at-once: {', '.join(sorted(unknown))} is none of {', '.join(known)}")
    kept = {number: count for number, count in scale.rounds.items() if str(number) in chosen}
    spread_s = 0.0 if options.burst else scale.spread_s
    options.scale = msgspec.structs.replace(scale, rounds=kept, spread_s=spread_s)
    return options


def main() -> int:
    """Runs it; 1 if something could not be measured. A target that is not met is told, and is no failure."""
    import uvloop

    options = _options()
    # Told to stop, it stops what it has started, as it does at Ctrl-C, which a shell's background jobs else ignore.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    found, watch = usage.machine(), usage.Watch()
    environment = None if options.no_pipecat else sides.ENVIRONMENT
    scripts = [BY_MODEL[name] for name in options.only]
    try:
        version = None if environment is None else _version(environment)
        print(
            f"Ringback: one gateway, one worker, embedded Valkey (AOF everysec), no keys.\n"
            f"pipecat: {f'{version}, one process' if version else 'left out'}.\n"
            f"{found['cores']} cores, {found['architecture']}, {found['system']}, Python {found['python']};"
            f" everything, vendors and callers included, shares them.\n",
            flush=True,
        )
        told = uvloop.run(run(options.scale, scripts, lambda text: print(text, flush=True), environment=environment))
    except* FAILURES as group:
        print(f"benchmarks: {reason(group)}", file=sys.stderr)
        sys.exit(1)
    except* KeyboardInterrupt:
        sys.exit(130)
    seconds, others = watch.seconds, watch.others
    rows = [row for section in told.values() for row in section.rows]
    print(
        f"{sum(row.met is True for row in rows)} of {sum(row.target is not None for row in rows)} targets met", end=""
    )
    print(f"; took {seconds:.0f} s\nOther work took {others:.0%} of the machine's CPU meanwhile")
    if options.json:
        sections = {
            name: {
                "rows": [report.document(row) for row in section.rows],
                "stages": [report.document(stage) for stage in section.stages],
                "failure": section.failure,
            }
            for name, section in told.items()
        }
        told_too = {"machine": found, "pipecat": version, "quick": options.quick, "seconds": seconds, "others": others}
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(told_too | {"sections": sections})))
    return int(any(section.failure for section in told.values()))


def _version(environment: Path) -> str:
    version = sides.installed(environment)
    if version is None:
        raise Failed(f"there is no pipecat in {environment.name}: `make bench-voice` installs it, or give --no-pipecat")
    return version


if __name__ == "__main__":
    sys.exit(main())
