"""`python -m benchmarks.litellm`: both gateways side by side; prints the report as it comes."""

import argparse
import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from benchmarks import system, upstream, usage
from benchmarks.callers import closed_loop, opened_session
from benchmarks.children import FAILURES, child, reason
from benchmarks.litellm import added, contrast, first_token, memory, proxy, rate, startup
from benchmarks.litellm.contrast import Contrast
from benchmarks.litellm.scale import FULL, QUICK, Scale
from benchmarks.litellm.sides import GATEWAYS, Bench, Kind, Name

TITLES = {
    "a": "(a) Added to a whole answer",
    "b": "(b) Added until the first text of a stream",
    "c": "(c) Requests a second",
    "d": "(d) Resident memory",
    "e": "(e) Start-up",
}
_MODULES: dict[str, ModuleType] = {"a": added, "b": first_token, "c": rate, "d": memory, "e": startup}
_MODELS = (upstream.INSTANT, upstream.HALF, upstream.PACED)
_KINDS: tuple[Kind, ...] = ("whole", "streamed")


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """What one measurement came to."""

    title: str
    rows: list[Contrast]
    failure: str = ""
    """Why there are no rows."""

    def document(self) -> dict[str, Any]:
        """All of it."""
        return {"title": self.title, "rows": [row.document() for row in self.rows], "failure": self.failure}


Report = dict[str, Section]


async def run(
    scale: Scale,
    only: Sequence[str],
    say: Callable[[str], None],
    *,
    workers: int = 1,
    environment: Path = proxy.ENVIRONMENT,
) -> Report:
    """Makes the measurements named in `only` (letters of `TITLES`), telling each section as text once it is there.

    `workers`: of LiteLLM. One that fails is told so, and the others go on. Raises `Failed` if one of the gateways does
    not start.
    """
    report: Report = {}
    async with child("upstream") as vendors, _running(str(await vendors.read()), scale, workers, environment) as bench:
        for letter in [letter for letter in TITLES if letter in only]:
            module = _MODULES[letter]
            report[letter] = await _section(TITLES[letter], module.HOW, module.measure(bench), say)
    return report


@asynccontextmanager
async def _running(url: str, scale: Scale, workers: int, environment: Path) -> AsyncIterator[Bench]:
    """Both gateways, warm."""
    starts: dict[Name, list[float]] = {side: [] for side in GATEWAYS}
    for number in range(scale.starts):
        async with proxy.running(url, _MODELS, workers=workers, environment=environment) as theirs:
            pass
        async with system.running(url) as ours:
            pass
        if number > 0:
            starts["litellm"].append(theirs.ready_s)
            starts["ringback"].append(ours.ready_s)
    async with (
        proxy.running(url, _MODELS, workers=workers, environment=environment) as theirs,
        system.running(url) as ours,
        opened_session() as session,
    ):
        starts["litellm"].append(theirs.ready_s)
        starts["ringback"].append(ours.ready_s)
        bench = Bench(scale=scale, upstream_url=url, proxy=theirs, system=ours, session=session, starts=starts)
        await asyncio.sleep(scale.settle_s)
        bench = msgspec.structs.replace(bench, at_rest=bench.memory())
        for side in GATEWAYS:
            for kind in _KINDS:
                await closed_loop(bench.call(kind, side, upstream.INSTANT), callers=16, seconds=scale.warm_s / 4)
        yield bench


async def _section(
    title: str, how: Sequence[str], measured: Awaitable[list[Contrast]], say: Callable[[str], None]
) -> Section:
    try:
        rows = await measured
    except* FAILURES as group:
        found = Section(title=title, rows=[], failure=reason(group))
        say(f"{title}\n  could not be measured: {found.failure}\n")
    else:
        found = Section(title=title, rows=rows)
        say(contrast.section(title, how, rows))
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.litellm", description="Measures Ringback beside LiteLLM's proxy."
    )
    parser.add_argument("--only", default=",".join(TITLES), metavar="a,b", help="these measurements (default: all)")
    parser.add_argument("--quick", action="store_true", help="one short round of each, in a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the report as JSON")
    parser.add_argument("--litellm-workers", type=int, default=1, metavar="N", help="processes of LiteLLM (default: 1)")
    options = parser.parse_args()
    options.only = options.only.replace(" ", "").split(",")
    if unknown := set(options.only) - set(TITLES):
        parser.error(f"--only: {', '.join(sorted(unknown))} is none of {', '.join(TITLES)}")
    if options.litellm_workers < 1:
        parser.error("--litellm-workers: at least 1")
    return options


def main() -> int:
    """Runs it; 1 if something could not be measured. A target that is not met is told, and is no failure."""
    import uvloop

    options = _options()
    # Told to stop, it stops what it has started, as it does at Ctrl-C, which a shell's background jobs else ignore.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    found = usage.machine()
    watch = usage.Watch()
    scale = QUICK if options.quick else FULL
    try:
        litellm = proxy.version()
        print(
            f"LiteLLM {litellm}: {options.litellm_workers} worker(s), no database, no keys, error logs only.\n"
            f"Ringback: one gateway, one worker, embedded Valkey (AOF everysec), no keys; each request is a job.\n"
            f"{found['cores']} cores, {found['architecture']}, {found['system']}, Python {found['python']};"
            f" everything, load generator included, shares them.\n",
            flush=True,
        )
        report = uvloop.run(
            run(scale, options.only, lambda text: print(text, flush=True), workers=options.litellm_workers)
        )
    except* FAILURES as group:
        print(f"benchmarks: {reason(group)}", file=sys.stderr)
        sys.exit(1)
    except* KeyboardInterrupt:
        sys.exit(130)
    seconds, others = watch.seconds, watch.others
    rows = [row for section in report.values() for row in section.rows]
    met, aimed = sum(row.met is True for row in rows), sum(row.target is not None for row in rows)
    print(f"{met} of {aimed} targets met; took {seconds:.0f} s")
    print(f"Other work took {others:.0%} of the machine's CPU meanwhile")
    if options.json:
        document = {
            "machine": found,
            "litellm": {"version": litellm, "workers": options.litellm_workers},
            "quick": options.quick,
            "seconds": seconds,
            "others": others,
            "sections": {letter: section.document() for letter, section in report.items()},
        }
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(document)))
    return int(any(section.failure for section in report.values()))


if __name__ == "__main__":
    sys.exit(main())
