"""Amazon's quotas, really enforced: kept by all workers together, and every sentence is spoken in the end."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager

import pytest

from jobs import errors as job_errors
from jobs.model import ModelCall
from jobs.permits import PermitStore
from jobs.routes import Quota, Target
from jobs.store.connection import Connection
from jobs.store.permits import Permits, Step
from ringback.testing.speech.script import SpeechScript
from ringback.testing.speech.server import SpeechServer
from speech import errors
from speech.amazon import limiter
from speech.amazon.limiter import Limiter
from speech.polly.client import PollySpeech
from speech.service import Recording, Spoken, Utterance
from speech.transcribe import streaming
from speech.transcribe.streaming import TranscribeStreaming
from tests.contract.speech.case import Listener, hear, tone
from workers.speaker import Speaker

QUOTA = Quota(per_second=20, burst=10, concurrency=18)
"""Polly's, but faster."""
TURNS, SENTENCES = 25, 4


@pytest.fixture(autouse=True)
def _amazon(speech_server: SpeechServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment leads to the fake."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in speech_server.environment().items():
        monkeypatch.setenv(name, value)


class Nobody:
    """A store that is away."""

    def __init__(self) -> None:
        self.asked = 0

    async def step(self, target: str, quota: Quota, steps: list[Step]) -> list[bool]:
        self.asked += 1
        raise job_errors.StoreUnavailable


@asynccontextmanager
async def workers(stores: Iterable[PermitStore], **targets: Target) -> AsyncIterator[list[PollySpeech]]:
    """As many workers' Polly as there are stores."""
    made = [
        PollySpeech({f"polly/{name}": target for name, target in targets.items()}, store, quotas={"neural": QUOTA})
        for store in stores
    ]
    try:
        for service in made:
            await service.warm_up()
        yield made
    finally:
        for service in made:
            await service.aclose()


@pytest.fixture
async def stores(settings_connections: list[Connection]) -> list[PermitStore]:
    """One and the same store, over two workers' connections."""
    return [Permits(connection) for connection in settings_connections]


@pytest.fixture
async def settings_connections(connection: Connection, store_url: str) -> AsyncIterator[list[Connection]]:
    other = Connection(store_url, timeout=5.0)
    yield [connection, other]
    await other.aclose()


async def say(speech: PollySpeech, text: str, calls: list[ModelCall], *, urgent: bool = False) -> Spoken:
    """Speaks as a job does."""
    async with aclosing(Speaker(speech, calls.append).say(Utterance(text=text, urgent=urgent))) as items:
        async for item in items:
            if isinstance(item, Spoken):
                return item
    raise AssertionError("no end")


def refused(server: SpeechServer) -> int:
    return sum(request.refused for request in server.received)


async def test_a_crowd_is_spoken_to_the_last_sentence_when_amazon_throttles(
    speech_server: SpeechServer, stores: list[PermitStore]
) -> None:
    speech_server.limit(QUOTA, service="polly")
    calls: list[ModelCall] = []
    heard: list[str] = []

    async def sentence(speech: PollySpeech, turn: int, number: int) -> None:
        text = f"Turn {turn}, sentence {number}."
        await say(speech, text, calls, urgent=number == 0)
        heard.append(text)

    async with workers(stores) as services, asyncio.timeout(30):
        everything = (
            sentence(services[turn % 2], turn, number) for turn in range(TURNS) for number in range(SENTENCES)
        )
        await asyncio.gather(*everything)
        assert len(heard) == TURNS * SENTENCES
        firsts = [place for place, text in enumerate(heard) if text.endswith("sentence 0.")]
        assert max(firsts) < TURNS * SENTENCES / 2, "first sentences are served first"
        # Nobody knew of the quota when they all came at once; a few more may be on the edge of it.
        first_wave = TURNS * SENTENCES - QUOTA.burst
        assert refused(speech_server) <= first_wave + 15
        before = refused(speech_server)
        await asyncio.gather(*(say(services[n % 2], f"Later {n}.", calls) for n in range(30)))
        # Ten may come at once, the other twenty would all be refused, most of them again and again.
        assert refused(speech_server) - before <= 10, "from then on the quota is kept by both together"
    assert {call.model for call in calls} == {"polly/neural"}
    answered = [call for call in calls if call.outcome == "answered"]
    assert len(answered) == TURNS * SENTENCES + 30
    assert {call.error for call in calls} == {None, "speech_rate_limited"}


async def test_a_quota_that_is_set_is_kept_from_the_first_call_on(
    speech_server: SpeechServer, stores: list[PermitStore]
) -> None:
    speech_server.limit(QUOTA, service="polly")
    # One in hand: calls that were let go evenly may arrive a little closer to each other.
    mine = Target(per_second=20, burst=9, concurrency=18)
    calls: list[ModelCall] = []
    async with workers(stores, neural=mine) as services, asyncio.timeout(30):
        await asyncio.gather(*(say(services[n % 2], f"Sentence {n}.", calls) for n in range(40)))
    assert refused(speech_server) <= 10
    assert [call.outcome for call in calls].count("answered") == 40


async def test_without_a_quota_and_throttling_the_store_is_not_asked(speech_server: SpeechServer) -> None:
    away = Nobody()
    calls: list[ModelCall] = []
    async with workers([away]) as (speech,), asyncio.timeout(30):
        await asyncio.gather(*(say(speech, f"Sentence {n}.", calls) for n in range(40)))
    assert away.asked == 0
    assert [call.outcome for call in calls] == ["answered"] * 40


async def test_a_store_that_is_away_keeps_nobody_from_speaking(speech_server: SpeechServer) -> None:
    speech_server.limit(QUOTA, service="polly")
    away = Nobody()
    calls: list[ModelCall] = []
    async with workers([away]) as (speech,), asyncio.timeout(30):
        await asyncio.gather(*(say(speech, f"Sentence {n}.", calls) for n in range(40)))
        await asyncio.gather(*(say(speech, f"Later {n}.", calls) for n in range(10)))
    assert away.asked
    assert refused(speech_server) <= 45, "it keeps to the quota by itself"
    assert [call.outcome for call in calls].count("answered") == 50


async def test_a_store_that_hangs_keeps_nobody_from_speaking(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hangs(Nobody):
        async def step(self, target: str, quota: Quota, steps: list[Step]) -> list[bool]:
            await asyncio.get_running_loop().create_future()
            return []

    monkeypatch.setattr("jobs.permits.ANSWER_S", 0.05)
    one = Limiter("polly/neural", QUOTA, {"polly/neural": Target(per_second=1000)}, Hangs())
    async with asyncio.timeout(10):
        for _ in range(3):
            async with one.turn():
                pass


async def test_calls_that_went_straight_through_count_once_there_is_a_quota(stores: list[PermitStore]) -> None:
    quota = Quota(concurrency=2)
    first, second = (Limiter("transcribe/streaming", quota, {}, store) for store in stores)
    leave, waiting = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with first.turn():
            waiting.set()
            await leave.wait()

    held = [asyncio.create_task(hold()) for _ in range(2)]
    await waiting.wait()
    for one in (first, second):
        with pytest.raises(errors.RateLimited):
            async with one.turn():
                raise errors.RateLimited(provider="transcribe")
    third = asyncio.create_task(_through(second))
    done, _ = await asyncio.wait((third,), timeout=0.3)
    assert not done, "both places are taken, though nobody asked for them"
    leave.set()
    async with asyncio.timeout(10):
        await asyncio.gather(third, *held)


async def _through(one: Limiter) -> None:
    async with one.turn():
        pass


async def test_a_minute_after_the_last_refusal_calls_go_straight_through_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limiter, "LIMITED_S", 0.05)
    away = Nobody()
    one = Limiter("polly/neural", Quota(per_second=0.001, burst=1), {}, away)
    with pytest.raises(errors.RateLimited):
        async with one.turn():
            raise errors.RateLimited(provider="polly")
    async with asyncio.timeout(10):
        # By the quota alone, the first would wait for a quarter of an hour.
        for _ in range(5):
            await _through_at_last(one)


async def _through_at_last(one: Limiter) -> None:
    """Asks again and again, as those do who come new."""
    while True:
        try:
            async with asyncio.timeout(0.02):
                return await _through(one)
        except TimeoutError:
            continue


async def test_more_streams_than_amazon_takes_wait_for_their_turn(
    speech_server: SpeechServer, stores: list[PermitStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    quota = Quota(concurrency=3, per_second=100, burst=3)
    monkeypatch.setattr(streaming, "QUOTA", quota)
    speech_server.limit(quota, service="transcribe-streaming")
    speech_server.script(SpeechScript(first_s=0.05), service="transcribe-streaming")
    url = speech_server.environment()["RINGBACK_TRANSCRIBE_STREAMING_URL"]
    services = [TranscribeStreaming(url, {}, store) for store in stores]

    async def listen(number: int) -> str:
        while True:
            try:
                listener = Listener(id="transcribe", service=services[number % 2], wired="transcribe-streaming")
                return (await hear(listener, Recording(audio=tone(1), language="en-US")))[2].text
            except errors.RateLimited:
                await asyncio.sleep(0.05)

    async with asyncio.timeout(20):
        texts = await asyncio.gather(*(listen(number) for number in range(12)))
    assert texts == ["Where is my order?"] * 12
