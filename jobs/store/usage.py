"""What was used: sums for each UTC day, API key and model, counted with the end of each job.

One hash per shard and day holds a row for each key and model: the numbers of `METRICS`, in that order. The script that
ends a job adds to them, so that a job counts exactly when it ends, and once. Calls that are part of no job, those that
refine a memory, are counted by themselves.
"""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal, get_args

import msgspec

from jobs.job import Job
from jobs.model import Cost, ModelCall
from jobs.settings import Settings
from jobs.store import keys
from jobs.store.connection import Connection

Group = Literal["day", "key", "model"]
GROUPS: tuple[Group, ...] = get_args(Group)

METRICS = (
    *("jobs", "calls", "failed_calls", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens"),
    *("nano_dollars", "unpriced_calls", "characters", "audio_ms"),
)
_NANO = 1_000_000_000
_NAMES_KEPT_S = 86_400.0
OTHER = "other"
"""The model of what comes after a shard has as many rows for a day as it keeps: callers may name any model."""


class UsageSums(msgspec.Struct, frozen=True, kw_only=True):
    """What some jobs used together. Calls of every outcome count, also those whose answer was of no use."""

    jobs: int
    """Jobs that ended; where models are told apart, each counts for the one that was asked last."""
    calls: int
    failed_calls: int
    """Of the calls: the provider refused or failed."""
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    """Of the input tokens."""
    reasoning_tokens: int
    """Of the output tokens."""
    characters: int
    """Spoken."""
    audio_s: float
    """Seconds of audio, understood or spoken."""
    cost: Cost


class UsageItem(UsageSums, frozen=True, kw_only=True):
    """The sums of one group; it has those of the first three fields that the report is grouped by."""

    day: date | msgspec.UnsetType = msgspec.UNSET
    """The UTC day on which the jobs ended."""
    key: str | msgspec.UnsetType | None = msgspec.UNSET
    """Id of the API key that submitted them; `null` where keys were off."""
    model: str | msgspec.UnsetType = msgspec.UNSET
    """`provider/model`; `other` for those beyond the first few thousand of a day."""


class UsageReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was used from one day to another."""

    since: date
    until: date
    """The last day, included."""
    items: list[UsageItem]
    """In the order of their groups; days, keys and models without any job are left out."""
    total: UsageSums


def counted(job: Job) -> list[str | int]:
    """An ended job as the `end` script counts it: the day, the number of rows, and each row's model and numbers."""
    return _rows(job.calls, job.ended_at or datetime.now(UTC), job.model)


def _rows(calls: Sequence[ModelCall], at: datetime, asked: str | None = None) -> list[str | int]:
    """With a job for the model that was `asked` last."""
    rows = {asked: [1, *_of_calls([call for call in calls if call.model == asked])]} if asked is not None else {}
    for model in {call.model for call in calls} - rows.keys():
        rows[model] = [0, *_of_calls([call for call in calls if call.model == model])]
    flat = [part for model, numbers in rows.items() for part in (model, " ".join(map(str, numbers)))]
    return [at.date().isoformat(), len(rows), *flat]


def _of_calls(calls: Sequence[ModelCall]) -> Iterator[int]:
    """The numbers of `METRICS` from the second on."""
    yield len(calls)
    yield sum(call.outcome == "failed" for call in calls)
    yield sum(call.usage.input_tokens for call in calls)
    yield sum(call.usage.output_tokens for call in calls)
    yield sum(call.usage.cached_tokens for call in calls)
    yield sum(call.usage.reasoning_tokens for call in calls)
    yield sum(round((call.cost_usd or 0.0) * _NANO) for call in calls)
    yield sum(call.cost_usd is None for call in calls)
    yield sum(call.usage.characters or 0 for call in calls)
    yield sum(round((call.usage.audio_s or 0.0) * 1000) for call in calls)


_Groups = dict[tuple[str, ...], list[int]]


class UsageTotals:
    """The sums of `usage_retention_s`."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        """Uses the shared connection; knows from `settings` into how many shards jobs spread."""
        self._connection = connection
        self._shards = settings.shards
        self._kept_ms = int(settings.usage_retention_s * 1000)

    async def count(self, session_id: str, name: str, calls: Sequence[ModelCall], *, owner: str, at: datetime) -> None:
        """Counts calls for a session that are part of none of its jobs, for an API key (`owner`), once for each `name`.

        `at`: when they were over. Repeating the call is harmless. Raises `errors.StoreUnavailable`.
        """
        kept = (int(_NAMES_KEPT_S * 1000), owner, self._kept_ms)
        await self._connection.run("count", keys.session(session_id), name, *kept, *_rows(calls, at))

    async def report(
        self, since: date, until: date, *, group_by: Sequence[Group], owner: str | None = None
    ) -> UsageReport:
        """What was used from `since` to `until`, both included; with `owner` (an API key's id) only by that key.

        One round trip for each day. Raises `errors.StoreUnavailable`.
        """
        groups: _Groups = {}
        for number in range((until - since).days + 1):
            await self._add(groups, since + timedelta(days=number), group_by, owner)
        ordered = [group for group in GROUPS if group in group_by]
        items = [_item(ordered, names, numbers) for names, numbers in sorted(groups.items())]
        total = [sum(numbers) for numbers in zip(*groups.values(), strict=True)] or [0] * len(METRICS)
        return UsageReport(since=since, until=until, items=items, total=UsageSums(**_sums(total)))

    async def _add(self, groups: _Groups, day: date, group_by: Sequence[Group], owner: str | None) -> None:
        commands = (("HGETALL", keys.usage(shard, day.isoformat())) for shard in range(self._shards))
        for rows in await self._connection.calls(commands):
            for field, row in rows.items():
                key, _, model = field.decode().partition("|")
                if owner is not None and key != owner:
                    continue
                names = {"day": day.isoformat(), "key": key, "model": model}
                sums = groups.setdefault(
                    tuple(names[group] for group in GROUPS if group in group_by), [0] * len(METRICS)
                )
                for place, number in enumerate(row.split()):
                    sums[place] += int(number)
            await asyncio.sleep(0)  # a shard may have thousands of rows


def _item(grouped_by: Sequence[Group], names: Sequence[str], numbers: Sequence[int]) -> UsageItem:
    named = dict(zip(grouped_by, names, strict=True))
    return UsageItem(
        day=date.fromisoformat(named["day"]) if "day" in named else msgspec.UNSET,
        key=(named["key"] or None) if "key" in named else msgspec.UNSET,
        model=named.get("model", msgspec.UNSET),
        **_sums(numbers),
    )


def _sums(numbers: Sequence[int]) -> dict[str, Any]:
    named: dict[str, int] = dict(zip(METRICS, numbers, strict=True))
    cost = Cost(usd=named.pop("nano_dollars") / _NANO, complete=not named.pop("unpriced_calls"))
    audio_s = named.pop("audio_ms") / 1000
    return {**named, "audio_s": audio_s, "cost": cost}
