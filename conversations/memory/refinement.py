"""Refining a session's memory after a reply: beside its turns, one at a time, and never over somebody else's work."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import msgspec
import structlog

from conversations.memory import folding, summary
from conversations.memory.notes import Asking
from conversations.memory.summary import Summary
from jobs import errors
from jobs.session import Archive, Message
from jobs.store.sessions import Recalled, Refining, Sessions

LEASE_S = 30.0
_PAGE = 200
_json = msgspec.json.Encoder()
_log = structlog.get_logger(__name__)


class Memory:
    """The memories of all sessions; one per process."""

    def __init__(self, sessions: Sessions, archive: Archive, *, lease_s: float = LEASE_S) -> None:
        """`archive` is where whole histories are read from, to rebuild a memory and for the strategy `stuff`.

        `lease_s`: a refinement that gives no sign for so long is given up, its process has gone; signs are given at a
        third of that.
        """
        self._sessions = sessions
        self._archive = archive
        self._lease_s = lease_s

    async def refine(self, session_id: str, ask: Asking) -> Summary | None:
        """Folds what is too much into the summary, if anything is; the new summary, `None` if nothing was done.

        A summary with excerpts for notes is written anew first.
        Turns go on meanwhile: they see the old summary and all messages since, or the new one and fewer. Nothing is
        done if somebody else refines this session. What is covered stays so if `ask` fails half-way: its errors are
        raised, and the next turn's refinement goes on from there.
        Raises `errors.SessionNotFound`, `errors.StoreUnavailable` besides.
        """
        if not _due(await self._sessions.recall(session_id)):
            return None
        async with self._right(session_id) as refining:
            if refining is None:
                return None
            recalled = await self._sessions.recall(session_id)
            messages, refined = _due(recalled), summary.of(recalled)
            if not messages:
                return None
            settings, version = recalled.spec.memory, recalled.version
            if refined.worn and (anew := await self._anew(recalled, refined, ask)) is not None:
                if not await self._kept(refining, recalled, anew, version):
                    return None
                refined, version = anew, version + 1
            before = await self._covered(recalled, refined) if settings.strategy == "stuff" else []
            async with aclosing(folding.fold(refined, messages, before, settings, ask)) as steps:
                async for step in steps:
                    if not await self._kept(refining, recalled, step, version):
                        return None
                    refined, version = step, version + 1
            return refined

    async def rebuild(self, session_id: str, ask: Asking) -> Summary | None:
        """Writes the notes anew from the whole history, so that no summary of a summary is left; else as `refine`.

        Covers what the present summary does, and keeps its facts. `None`: there is none, or somebody else refines.
        """
        async with self._right(session_id) as refining:
            if refining is None:
                return None
            recalled = await self._sessions.recall(session_id)
            anew = await self._anew(recalled, summary.of(recalled), ask)
            kept = anew is not None and await self._kept(refining, recalled, anew, recalled.version)
            return anew if kept else None

    async def _anew(self, recalled: Recalled, old: Summary, ask: Asking) -> Summary | None:
        """A summary of the same messages that owes nothing to the old one but its facts; `None`: there are none."""
        messages = await self._covered(recalled, old)
        if not messages:
            return None
        anew = Summary(facts=old.facts, rebuilt=old.covered)
        async with aclosing(folding.fold(anew, messages, [], recalled.spec.memory, ask)) as steps:
            async for step in steps:
                anew = step
        return anew

    async def _kept(self, refining: Refining, recalled: Recalled, new: Summary, version: int) -> bool:
        """Keeps the summary in place of that version. False: somebody else was faster, and has the right now."""
        own = new.last not in {message.id for message in recalled.earlier}
        try:
            await self._sessions.remember(
                refining, _json.encode(new), covered=new.last if own else "", made_from=version, lease_s=self._lease_s
            )
        except errors.StaleFence:
            _log.warning("refinement_superseded", session_id=refining.session_id)
            return False
        return True

    async def _covered(self, recalled: Recalled, found: Summary) -> list[Message]:
        """All messages that the summary covers, as they were said."""
        if not found.last:
            return []
        messages = list(recalled.earlier)
        after = ""
        while not any(message.id == found.last for message in messages):
            page = await self._archive.of_session(recalled.spec.id, after=after, limit=_PAGE)
            if page is None:
                break
            messages += page.items
            if page.next_cursor is None:
                break
            after = page.next_cursor
        last = next((n for n, message in enumerate(messages) if message.id == found.last), len(messages) - 1)
        return messages[: last + 1]

    @asynccontextmanager
    async def _right(self, session_id: str) -> AsyncIterator[Refining | None]:
        """The right to refine, kept alive meanwhile; `None`: somebody else has it, or got it in the middle."""
        refining = await self._sessions.begin_refining(session_id, lease_s=self._lease_s)
        if refining is None:
            yield None
            return
        signs = asyncio.create_task(self._give_signs(refining))
        try:
            yield refining
        finally:
            signs.cancel()
            await asyncio.gather(signs, return_exceptions=True)
            with contextlib.suppress(errors.StaleFence, errors.SessionNotFound, errors.StoreUnavailable):
                await self._sessions.end_refining(refining)

    async def _give_signs(self, refining: Refining) -> None:
        while True:
            await asyncio.sleep(self._lease_s / 3)
            try:
                await self._sessions.go_on_refining(refining, lease_s=self._lease_s)
            except errors.StoreUnavailable:
                continue
            except (errors.StaleFence, errors.SessionNotFound) as lost:
                _log.warning("refining_lost", session_id=refining.session_id, code=lost.code)
                return


def _due(recalled: Recalled) -> list[Message]:
    found = summary.of(recalled)
    return folding.due(found, summary.uncovered(recalled, found), recalled.spec.memory)
