"""Engine processes: what happens when one dies, hangs, cannot start, or is not wanted any more."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jobs.settings import Settings
from speech import errors, registry
from speech.offline.engine import Engine
from speech.offline.frames import Frame

ENGINE = """
import sys
from speech.offline.frames import serve

def load():
    {load}
    def answer(request):
        import os, time
        for frame in request:
            print("noise on stdout")
            if frame.get("die"):
                os._exit(3)
            if frame.get("hang"):
                time.sleep(600)
            yield {{"said": frame.get("say"), "pid": os.getpid()}}
    return answer

serve(load)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An engine that repeats what it is told."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "parrot.py").write_text(ENGINE.format(load=""))
    (tmp_path / "absent.py").write_text(ENGINE.format(load="import no_such_engine"))
    (tmp_path / "broken.py").write_text(ENGINE.format(load="sys.exit(1)"))
    return "parrot"


async def ask(engine: Engine, *frames: Frame) -> list[Frame]:
    """All results."""

    async def request() -> AsyncIterator[Frame]:
        for frame in frames:
            yield frame
        yield {"say": "end", "last": True}

    return [result async for result in engine.answer(request())]


async def test_one_process_is_kept_and_one_that_died_replaced(module: str) -> None:
    engine = Engine(module, provider="test", processes=1)
    first = await ask(engine, {"say": "안녕"})
    assert [result["said"] for result in first] == ["안녕", "end"]
    assert (await ask(engine))[0]["pid"] == first[0]["pid"]
    with pytest.raises(errors.Unavailable, match="ended unexpectedly"):
        await ask(engine, {"die": True})
    second = (await ask(engine))[0]["pid"]
    assert second != first[0]["pid"]
    os.kill(second, signal.SIGKILL)
    (process,) = engine._idle
    await process.wait()
    assert (await ask(engine))[0]["pid"] != second
    await engine.aclose()


async def test_one_that_hangs_is_killed_with_its_caller(module: str) -> None:
    engine = Engine(module, provider="test", processes=1)
    pid = (await ask(engine))[0]["pid"]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await ask(engine, {"hang": True})
    assert (await ask(engine, {"say": "next"}))[0]["said"] == "next"
    await engine.aclose()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_two_at_once_and_never_more(module: str) -> None:
    engine = Engine(module, provider="test", processes=2)
    answers = await asyncio.gather(*(ask(engine, {"say": n}) for n in range(8)))
    assert [answer[0]["said"] for answer in answers] == list(range(8))
    assert 1 <= len({answer[0]["pid"] for answer in answers}) <= 2
    await engine.aclose()


async def test_one_that_was_started_before_answers_the_first_request(module: str) -> None:
    engine = Engine(module, provider="test", processes=2)
    await engine.warm_up()
    (warmed,) = engine._idle
    await engine.warm_up()
    assert engine._idle == [warmed], "one is enough"
    assert (await ask(engine))[0]["pid"] == warmed.pid
    await engine.aclose()

    engine = Engine(module, provider="test", processes=2)
    warming = asyncio.create_task(engine.warm_up())
    await asyncio.sleep(0)
    answer = await ask(engine)
    await warming
    assert len(engine._running) == 1, "who comes while it is being started waits for it"
    assert answer[0]["pid"] == next(iter(engine._running)).pid
    await engine.aclose()


async def test_engines_are_started_after_everything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    warmed: list[str] = []

    class Service:
        def __init__(self, name: str) -> None:
            self.name = name

        async def warm_up(self) -> None:
            warmed.append(self.name)
            if self.name == "offline":
                raise errors.EngineMissing(provider="offline")

        async def aclose(self) -> None: ...

    monkeypatch.setattr(registry, "WARM_UP_AFTER_S", 0.0)
    monkeypatch.setattr(registry, "ENGINES_AFTER_S", 0.01)
    monkeypatch.setitem(registry.SPEAKING, "offline", lambda _settings, _store: Service("offline"))
    monkeypatch.setitem(registry.LISTENING, "transcribe", lambda _settings, _store: Service("transcribe"))
    services = registry.SpeechServices(Settings(tts="offline", stt="transcribe"))
    await services.warm_up()
    assert warmed == ["transcribe", "offline"], "and that there is no engine is no reason to fail"


@pytest.mark.parametrize("name", ["absent", "broken"])
async def test_one_that_cannot_start_is_told(name: str, module: str) -> None:
    engine = Engine(name, provider="test", processes=1)
    for _ in range(2):
        with pytest.raises(errors.EngineMissing):
            await ask(engine)
    await engine.aclose()


async def test_a_closed_engine_starts_nothing(module: str) -> None:
    engine = Engine(module, provider="test", processes=1)
    await engine.aclose()
    with pytest.raises(errors.Unavailable):
        await ask(engine)
