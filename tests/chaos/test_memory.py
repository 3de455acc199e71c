"""Memories that are refined by two workers while two clients talk on, and by one that slept in the midst of it."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest

from conversations.memory import summary
from jobs.settings import Settings
from jobs.store import keys
from jobs.store.connection import Connection
from jobs.store.sessions import Recalled, Sessions
from ringback.testing.script import Script
from ringback.testing.vendors.server import VendorServer
from tests.chaos.ground import NOTES, Ground, asker, prompted, replies
from tests.integration.speech import talk
from tests.stack import Process, eventually

MODEL = "openai/gpt-4o"
NAME, NUMBER = "김하늘", "20261121"
FIRST = f"제 이름은 {NAME}이고 주문번호는 {NUMBER}입니다."
REPLY = "네, 알겠습니다."
MEMORY = "<memory>"


def notes(text: str) -> str:
    """A model's answer that is about nothing that was said."""
    return f"<summary>{text}</summary>\n<facts>\n</facts>"


@pytest.fixture
async def sessions(ground: Ground) -> AsyncIterator[Sessions]:
    """The sessions, as a worker sees them."""
    url = ground.store_spec.url
    connection = Connection(url, timeout=5.0)
    yield Sessions(connection, Settings(redis_url=url))
    await connection.aclose()


async def versions(sessions: Sessions, session_id: str, seen: list[tuple[int, int]]) -> None:
    """Notes the versions of a memory, and how many messages each covers, for ever."""
    while True:
        recalled = await sessions.recall(session_id)
        seen.append((recalled.version, summary.of(recalled).covered))
        await asyncio.sleep(0.01)


async def settled(ground: Ground, sessions: Sessions, session_id: str) -> Recalled:
    """What a session remembers when nobody refines it."""
    idle = lambda: not ground.redis.hexists(keys.session(session_id), "refiner")  # noqa: E731
    await asyncio.to_thread(eventually, idle, what="nobody refines")
    return await sessions.recall(session_id)


async def test_a_memory_is_refined_while_two_clients_talk(
    ground: Ground, sessions: Sessions, vendor_server: VendorServer
) -> None:
    vendor_server.script(Script(deltas=("네, ", "알겠습니다."), delta_s=0.02))
    vendor_server.script(Script(deltas=(notes("이야기를 나눴다."),), first_s=0.1), about=NOTES)
    for name in ("one", "two"):
        ground.begin_named(name)
    await asyncio.to_thread(ground.wait_workers, 2)
    session = talk.session(ground.url, model=MODEL, memory="short", language="ko-KR")
    seen: list[tuple[int, int]] = []
    watching = asyncio.create_task(versions(sessions, session, seen))

    async def client(url: str, texts: list[str]) -> None:
        for text in texts:
            assert (await talk.take(url, session, json={"text": text})).job["status"] == "succeeded"

    await client(ground.url, [FIRST])
    async with asyncio.timeout(60):
        await asyncio.gather(
            client(ground.url, [f"첫째가 {n}번째로 한 말이에요." for n in range(14)]),
            client(ground.second, [f"둘째가 {n}번째로 한 말이에요." for n in range(15)]),
        )
    recalled = await settled(ground, sessions, session)
    watching.cancel()

    history = [(message["role"], message["text"]) for message in ground.messages(session)]
    assert len({*history}) == 31, "each was said once, and answered alike"
    assert [role for role, _ in history] == ["user", "assistant"] * 30
    remembered = summary.of(recalled)
    assert recalled.version >= 3
    assert remembered.covered + len(recalled.recent) == 60
    assert [(message.role, message.text) for message in recalled.recent] == history[remembered.covered :]
    for earlier, later in pairwise(sorted({*seen})):
        assert earlier[0] < later[0], "a version is never written anew"
        assert earlier[1] < later[1], "nor is anything covered no longer"
    assert seen == sorted(seen)
    asked = replies(vendor_server.received)
    assert len(asked) == 30
    assert {asker(received) for received in asked} == {"one", "two"}
    for n, received in enumerate(asked):
        prompt = prompted(received)
        said = [line for line in prompt if not line[1].startswith(MEMORY)]
        assert said == history[: 2 * n + 1][-len(said) :], "the last ones, without a gap, each once"
        assert len(said) < len(prompt) or len(said) == 2 * n + 1, "what is not said is in the memory"
        whole = "\n".join(text for _, text in prompt)
        assert NAME in whole
        assert NUMBER in whole


async def being_refined(ground: Ground, vendor_server: VendorServer) -> tuple[str, Process]:
    """A session whose memory a worker refines that is slow to be answered; and that worker."""
    vendor_server.script(Script(deltas=(REPLY,)))
    vendor_server.script(Script(deltas=(notes("낡은 요약"),), first_s=0.3), about=NOTES)
    worker = ground.begin_worker()
    await asyncio.to_thread(ground.wait_for, worker)
    session = talk.session(ground.url, model=MODEL, memory={"max_messages": 4, "keep": 2}, language="ko-KR")
    for text in (FIRST, "둘", "셋"):
        await talk.take(ground.url, session, json={"text": text})
    await asyncio.to_thread(eventually, lambda: len(vendor_server.received) == 4, what="it is refined")
    vendor_server.script(Script(deltas=(notes("새 요약"),)), about=NOTES)
    return session, worker


async def refined_by_another(ground: Ground, sessions: Sessions, session_id: str) -> Recalled:
    """What is remembered when another worker has refined it, which it may after a lease."""
    await asyncio.to_thread(ground.wait_for, ground.begin_worker())

    def lapsed() -> bool:
        until = ground.redis.hget(keys.session(session_id), "refining_until")
        return float(until or 0) < time.time() * 1000

    await asyncio.to_thread(eventually, lapsed, what="the refiner gave no sign")
    await talk.take(ground.url, session_id, json={"text": "넷"})
    await asyncio.to_thread(eventually, lambda: ground.redis.hget(keys.session(session_id), "version") == b"1")
    return await settled(ground, sessions, session_id)


async def test_a_worker_that_slept_in_the_midst_of_refining(
    ground: Ground, sessions: Sessions, vendor_server: VendorServer
) -> None:
    session, sleeper = await being_refined(ground, vendor_server)
    sleeper.send(signal.SIGSTOP)
    after = await refined_by_another(ground, sessions, session)
    sleeper.send(signal.SIGCONT)

    def given_up() -> bool:
        return any("refinement_superseded" in line and session in line for line in ground.worker_log().splitlines())

    await asyncio.to_thread(eventually, given_up, what="it gives up")

    assert await settled(ground, sessions, session) == after
    assert (after.version, summary.of(after).text) == (1, "새 요약")
    await talk.take(ground.url, session, json={"text": "다섯"})
    whole = "\n".join(text for _, text in prompted(replies(vendor_server.received)[-1]))
    assert "새 요약" in whole
    assert "낡은 요약" not in whole
    assert FIRST in whole
