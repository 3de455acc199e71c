"""Memory on a real store: refined beside turns that go on, by one at a time, and rebuilt from the history."""

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from benchmarks.recall.careless import CarelessModel
from benchmarks.recall.plot import FACTS
from conversations.lock import SessionLock
from conversations.memory import context, summary
from conversations.memory.refinement import Memory
from jobs import errors
from jobs.session import STRATEGIES, MemorySettings, SessionSpec, Strategy
from jobs.store import keys
from jobs.store.connection import Connection
from jobs.store.history import RedisArchive
from jobs.store.jobs import JobStore
from jobs.store.sessions import Draft, Sessions
from providers import errors as provider_errors
from tests.integration.store.conversation import opened, said, session_spec, started
from tests.integration.store.sample import ended
from tests.unit.conversations.sample import Model, notes, text_of

SMALL = MemorySettings(max_messages=4, token_limit=2_000, keep=2)


@pytest.fixture
def memory(sessions: Sessions, archive: RedisArchive) -> Memory:
    return Memory(sessions, archive)


class Chat:
    """Turns in one session."""

    def __init__(self, store: JobStore, sessions: Sessions, session: SessionSpec) -> None:
        self.session = session
        self._store = store
        self._sessions = sessions

    async def say(self, *texts: str) -> None:
        for text in texts:
            await said(self._store, self._sessions, self.session, text, f"네, {text}")


@pytest.fixture
async def chat(store: JobStore, sessions: Sessions) -> Chat:
    return Chat(store, sessions, await opened(sessions, memory=SMALL, instructions="짧게 답하세요. 코드네임 X77"))


def everything(found: context.Context) -> str:
    return "\n".join(part.text for message in found.messages for part in message.parts if hasattr(part, "text"))


async def test_nothing_is_asked_before_there_is_too_much(chat: Chat, memory: Memory) -> None:
    model = Model(notes("x"))
    await chat.say("하나", "둘")
    assert await memory.refine(chat.session.id, model) is None
    assert model.asks == []


async def test_what_is_too_much_is_folded_and_the_originals_stay(
    chat: Chat, memory: Memory, sessions: Sessions, archive: RedisArchive
) -> None:
    await chat.say("제 이름은 김하늘이에요", "둘", "셋")
    model = Model(notes("하늘이 자기를 소개했다."))
    refined = await memory.refine(chat.session.id, model)
    assert refined is not None
    recalled = await sessions.recall(chat.session.id)
    assert summary.of(recalled) == refined
    assert (recalled.version, refined.covered) == (1, 4)
    assert [message.text for message in recalled.recent] == ["셋", "네, 셋"]
    page = await archive.of_session(chat.session.id)
    assert page is not None
    assert len(page.items) == 6
    assert [refined.first, refined.last] == [page.items[0].id, page.items[3].id]
    found = context.of(recalled)
    assert found.system == chat.session.instructions
    assert "X77" not in text_of(model.asks[0]), "instructions are not there to be summarized"
    assert "제 이름은 김하늘이에요" in everything(found)
    assert await memory.refine(chat.session.id, model) is None


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_pinned_facts_survive_twenty_refinements_by_a_careless_model(
    store: JobStore, sessions: Sessions, memory: Memory, strategy: Strategy
) -> None:
    settings = msgspec.structs.replace(SMALL, strategy=strategy)
    session = await opened(sessions, memory=settings, instructions="짧게")
    chat, model, refinements = Chat(store, sessions, session), CarelessModel(), 0
    planted = FACTS[:8]
    for turn in range(48):
        await chat.say(planted[turn].said if turn < len(planted) else "그렇군요. 요즘은 어때요?")
        refinements += await memory.refine(session.id, model) is not None
    recalled = await sessions.recall(session.id)
    assert refinements >= 20
    assert recalled.version == refinements
    known = everything(context.of(recalled))
    assert [fact.probe for fact in planted if fact.probe not in known] == []
    refined = summary.of(recalled)
    assert refined.covered + len(recalled.recent) == 96, "no message is covered twice, none is missed"


async def test_turns_go_on_while_it_is_refined(
    store: JobStore, sessions: Sessions, chat: Chat, memory: Memory, new_lock: Callable[[], SessionLock]
) -> None:
    await chat.say("하나", "둘", "셋")
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_: str) -> str:
        begun.set()
        await go_on.wait()
        return notes("하나와 둘을 말했다.")

    refining = asyncio.create_task(memory.refine(chat.session.id, Model(slow)))
    async with asyncio.timeout(10):
        await begun.wait()
        claim = await started(store, chat.session)
        async with new_lock().held(claim) as turn:
            now = await turn.say(Draft(role="user", text="넷"))
            assert "하나" in everything(context.of(turn.recalled, [now])), "it sees what the old memory has"
            go_on.set()
            assert await refining is not None
            await turn.say(Draft(role="assistant", text="네, 넷"))
        await store.end(claim.fence, ended(claim))
    recalled = await sessions.recall(chat.session.id)
    assert [message.text for message in recalled.recent] == ["셋", "네, 셋", "넷", "네, 넷"]
    assert "하나와 둘" in everything(context.of(recalled))


async def test_only_one_refines_a_session(chat: Chat, memory: Memory, sessions: Sessions) -> None:
    await chat.say("하나", "둘", "셋", "넷")
    model = Model(notes("요약"))
    results = await asyncio.gather(*(memory.refine(chat.session.id, model) for _ in range(8)))
    assert sum(result is not None for result in results) == 1
    assert len(model.asks) == 1
    assert (await sessions.recall(chat.session.id)).version == 1


async def test_who_was_paused_overwrites_nothing(
    connection: Connection, chat: Chat, memory: Memory, sessions: Sessions
) -> None:
    await chat.say("하나", "둘", "셋")

    async def paused(_: str) -> str:
        await connection.redis.hset(keys.session(chat.session.id), "refining_until", 1)
        assert await memory.refine(chat.session.id, Model(notes("빠른 요약"))) is not None
        return notes("늦은 요약")

    assert await memory.refine(chat.session.id, Model(paused)) is None
    assert summary.of(await sessions.recall(chat.session.id)).text == "빠른 요약"


async def test_a_model_that_fails_leaves_everything_as_it_was(chat: Chat, memory: Memory, sessions: Sessions) -> None:
    await chat.say("하나", "둘", "셋")
    before = await sessions.recall(chat.session.id)
    with pytest.raises(provider_errors.Unavailable):
        await memory.refine(chat.session.id, Model(provider_errors.Unavailable(provider="x")))
    assert await sessions.recall(chat.session.id) == before
    assert await memory.refine(chat.session.id, Model(notes("나중에"))) is not None, "the right was given back"


async def test_what_was_covered_before_a_failure_stays_covered(
    store: JobStore, sessions: Sessions, memory: Memory
) -> None:
    session = await opened(sessions, memory=SMALL)
    for _ in range(3):
        await said(store, sessions, session, "가" * 1200, "네")
    model = Model(notes("처음"), provider_errors.Unavailable(provider="x"))
    with pytest.raises(provider_errors.Unavailable):
        await memory.refine(session.id, model)
    refined = summary.of(await sessions.recall(session.id))
    assert refined.text == "처음"
    assert 0 < refined.covered < 4


async def test_a_memory_is_rebuilt_from_what_was_really_said(chat: Chat, memory: Memory, sessions: Sessions) -> None:
    assert await memory.rebuild(chat.session.id, Model(notes("x"))) is None
    await chat.say("제 이름은 김하늘이에요", "둘", "셋")
    drifted = await memory.refine(chat.session.id, Model(notes("고양이 이야기를 했다.")))
    model = Model(notes("하늘이 자기를 소개했다."))
    rebuilt = await memory.rebuild(chat.session.id, model)
    assert drifted is not None
    assert rebuilt is not None
    assert "고양이" not in text_of(model.asks[0])
    assert "김하늘" in text_of(model.asks[0])
    assert (rebuilt.covered, rebuilt.last) == (drifted.covered, drifted.last)
    recalled = await sessions.recall(chat.session.id)
    assert summary.of(recalled) == rebuilt
    assert recalled.version == 2


async def test_excerpts_that_stood_in_for_notes_are_replaced_when_the_model_gives_some(
    chat: Chat, memory: Memory, sessions: Sessions
) -> None:
    await chat.say("제 이름은 김하늘이에요", "둘", "셋")
    careless = Model("네, 반갑습니다!")
    rough = await memory.refine(chat.session.id, careless)
    assert rough is not None
    assert rough.rough == rough.covered == 4
    assert rough.worn
    await chat.say("넷", "다섯")
    model = Model(notes("하늘이 자기를 소개했다."), notes("하늘이 자기를 소개하고 다섯까지 셌다."))
    refined = await memory.refine(chat.session.id, model)
    assert refined is not None
    assert ["네, 둘" in text_of(ask) for ask in model.asks] == [True, False], "first what was said, then what is new"
    assert (refined.text, refined.rough, refined.rebuilt) == ("하늘이 자기를 소개하고 다섯까지 셌다.", 0, 4)
    assert (await sessions.recall(chat.session.id)).version == 3


async def test_a_model_that_never_gives_notes_is_not_asked_for_all_of_it_every_time(chat: Chat, memory: Memory) -> None:
    asked: list[int] = []
    for _ in range(8):
        await chat.say("하나", "둘")
        model = Model("네, 반갑습니다!")
        await memory.refine(chat.session.id, model)
        asked.append(len(model.asks))
    assert asked == [0, 2, 4, 2, 4, 2, 2, 2], "twice for each summary; all of it only when it has doubled"


async def test_earlier_sessions_are_folded_in_like_this_one(
    store: JobStore, sessions: Sessions, archive: RedisArchive, memory: Memory
) -> None:
    first = await opened(sessions, user_id="u")
    for text in ("제 이름은 김하늘이에요", "둘", "셋", "넷"):
        await said(store, sessions, first, text, "네")
    second = session_spec(user_id="u", memory=SMALL)
    await sessions.open(second, await archive.latest("u", owner="", limit=8))
    refined = await memory.refine(second.id, Model(notes("지난 이야기")))
    assert refined is not None
    assert refined.covered == 6
    for text in ("새로운 이야기", "계속", "그리고"):
        await said(store, sessions, second, text, "네")
    model = Model(notes("모든 이야기"))
    refined = await memory.refine(second.id, model)
    assert refined is not None
    assert refined.covered == 12
    assert "넷" in text_of(model.asks[0])
    recalled = await sessions.recall(second.id)
    assert [message.text for message in recalled.recent] == ["그리고", "네"]
    assert "김하늘" in everything(context.of(recalled))
    rebuilt = await memory.rebuild(second.id, Model(notes("다시")))
    assert rebuilt is not None
    assert rebuilt.covered == 12


async def test_a_session_that_is_gone_has_no_memory(chat: Chat, memory: Memory, sessions: Sessions) -> None:
    await chat.say("하나", "둘", "셋")

    async def deleting(_: str) -> str:
        await sessions.delete(chat.session.id)
        return notes("x")

    with pytest.raises(errors.SessionNotFound):
        await memory.refine(chat.session.id, Model(deleting))
    with pytest.raises(errors.SessionNotFound):
        await memory.refine(chat.session.id, Model(notes("x")))
