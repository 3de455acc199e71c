"""Sessions to talk in: jobs that take their turns there, and what is said in them."""

import time
from typing import Any

from jobs import ids
from jobs.job import JobSpec
from jobs.session import SessionSpec
from jobs.store import keys
from jobs.store.jobs import Claim, JobStore
from jobs.store.sessions import Candidate, Draft, Sessions, Turn
from tests.integration.store.sample import claimed, ended, spec, token

SHARD = 7


def session_spec(shard: int = SHARD, **fields: Any) -> SessionSpec:
    """A session to be opened; `fields` as in `SessionSpec`."""
    made: dict[str, Any] = {"id": ids.new(keys.SESSION_PREFIX, shard), "created_ms": int(time.time() * 1000)}
    return SessionSpec(**made | fields)


async def opened(sessions: Sessions, **fields: Any) -> SessionSpec:
    """A session that is there."""
    made = session_spec(**fields)
    await sessions.open(made)
    return made


def turn_spec(session: SessionSpec, **fields: Any) -> JobSpec:
    """A job that takes a turn in that session."""
    shard = ids.shard_of(session.id, keys.SESSION_PREFIX)
    return spec(shard, session_id=session.id, owner=session.owner, **fields)


async def arrived(store: JobStore, session: SessionSpec, **fields: Any) -> JobSpec:
    """A queued job in that session's line."""
    made = turn_spec(session, **fields)
    await store.accept(made, busy="wait")
    return made


async def started(store: JobStore, session: SessionSpec) -> Claim:
    """A running job in that session's line."""
    return await claimed(store, (await arrived(store, session)).id)


def candidate(claim: Claim) -> Candidate:
    """What that job asks for."""
    assert claim.spec.session_id is not None
    return Candidate(session_id=claim.spec.session_id, job_id=claim.spec.id, job_fence=claim.fence)


async def taken(sessions: Sessions, claim: Claim) -> Turn:
    """The turn of that job, which must be the next."""
    (turn,) = await sessions.take([candidate(claim)])
    assert isinstance(turn, Turn), turn
    return turn


async def said(
    store: JobStore, sessions: Sessions, session: SessionSpec, user: str, reply: str = "", **fields: Any
) -> None:
    """A whole turn, from its arrival to its end."""
    claim = await started(store, session)
    turn = await taken(sessions, claim)
    await sessions.say(turn, session, Draft(role="user", text=user, **fields))
    if reply:
        await sessions.say(turn, session, Draft(role="assistant", text=reply, **fields))
    await store.end(claim.fence, ended(claim))


async def run_again(store: JobStore, claim: Claim) -> Claim:
    """The claim on a job whose lease has run out."""
    again = await store.claim(claim.spec.id, token())
    assert again is not None
    return again
