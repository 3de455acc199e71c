"""A prompt's job from its input to its output: repaired once, honest when that fails, and its log tells how it went."""

import asyncio
from urllib.parse import quote_plus

import pytest

from jobs import errors
from jobs.job import Deadline
from jobs.model import Usage
from jobs.settings import Settings
from jobs.store.connection import Connection
from tests.unit.workers.stage import Stage

SCHEMA = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}, "additionalProperties": False}


@pytest.fixture
def stage(connection: Connection, settings: Settings) -> Stage:
    """A stage on an empty store."""
    return Stage(connection, settings)


def model(**script: str) -> str:
    """The name of a fake model that follows this script."""
    return "m?" + "&".join(f"{name}={quote_plus(value)}" for name, value in script.items())


async def test_a_text_is_told_as_it_comes_and_is_the_output(stage: Stage) -> None:
    run = await stage.run(model(text="고객님, 죄송합니다. 곧 보내 드릴게요.", delta_ms="3", input_tokens="5"))
    assert run.error is None
    assert run.output == {"text": "고객님, 죄송합니다. 곧 보내 드릴게요."}
    assert run.text == run.output["text"]
    assert run.names[-1] == "usage"
    assert run.log[-1][1]["stage"] == "answer"
    assert run.log[-1][1]["model"] == run.target
    assert run.usage == Usage(input_tokens=5, output_tokens=5)


@pytest.mark.parametrize("reply", ["no json", '{"n":"x"}', "{}", "[1]", "", '```json\n{"n":\n```'])
async def test_an_answer_that_does_not_fit_is_repaired_once(stage: Stage, reply: str) -> None:
    run = await stage.run(model(reply=f'{reply}|{{"n":2}}'), asks={"prompt": "x", "schema": SCHEMA})
    assert run.error is None
    assert run.output == {"data": {"n": 2}}
    assert run.text == '{"n":2}'
    resets = [data for name, data in run.log if name == "stream.reset"]
    assert resets == [{"reason": "output_invalid", "provider": "fake", "model": run.target}]
    assert run.names.count("usage") == 2
    assert run.usage.output_tokens == sum(data["output_tokens"] for name, data in run.log if name == "usage")


async def test_an_answer_that_does_not_fit_twice_is_an_honest_failure(stage: Stage) -> None:
    run = await stage.run(model(reply='bad|worse|{"n":3}'), asks={"prompt": "x", "schema": SCHEMA})
    assert isinstance(run.error, errors.OutputInvalid)
    assert run.error.code == "output_invalid"
    assert run.output is None
    assert run.names.count("usage") == 2
    assert run.usage.input_tokens > 0


async def test_the_target_that_answered_repairs_its_answer(stage: Stage) -> None:
    """Not the one that failed before it: it would be named wrongly, and would cost its time-out again."""
    first = model(fail="authentication_failed", times="1", text='{"n":9}')
    second = model(reply='bad|{"n":2}')
    run = await stage.run(first, second, asks={"prompt": "x", "schema": SCHEMA})
    assert run.error is None
    assert run.output == {"data": {"n": 2}}
    assert run.target == f"fake/{second}"


async def test_an_answer_cut_short_fails_and_keeps_what_there_is(stage: Stage) -> None:
    run = await stage.run(model(text="the first half of", finish="length"))
    assert run.error is not None
    assert run.error.code == "output_truncated"
    assert run.output == {"text": "the first half of"}
    assert "usage" in run.names


async def test_data_cut_short_is_not_repaired(stage: Stage) -> None:
    run = await stage.run(model(text='{"n":', finish="length"), asks={"prompt": "x", "schema": SCHEMA})
    assert run.error is not None
    assert run.error.code == "output_truncated"
    assert run.output is None
    assert run.names.count("usage") == 1


async def test_an_answer_that_the_vendor_filtered_fails(stage: Stage) -> None:
    run = await stage.run(model(text="I cannot", finish="content_filter", input_tokens="3"))
    assert run.error is not None
    assert (run.error.code, run.output) == ("content_filtered", None)
    assert run.usage.input_tokens == 3


async def test_failover_before_the_first_token_is_silent_but_named(stage: Stage) -> None:
    run = await stage.run(model(fail="authentication_failed"), model(text="ja"))
    assert run.output == {"text": "ja"}
    assert run.names == ["text.delta", "usage"]
    assert run.target == f"fake/{model(text='ja')}"


async def test_failover_in_the_middle_makes_void_what_was_told(stage: Stage) -> None:
    run = await stage.run(model(text="one two three", fail="cut", after="2", delta_ms="40"), model(text="넷 다섯"))
    assert run.output == {"text": "넷 다섯"}
    assert run.text == "넷 다섯"
    assert ("stream.reset", {"reason": "stream_interrupted", "provider": "fake", "model": run.target}) in run.log


async def test_the_jobs_own_limits_win_over_the_deployments(stage: Stage) -> None:
    silent = model(fail="hang")
    async with asyncio.timeout(4):
        run = await stage.run(silent, deadline=Deadline(first_token_s=0.05))
        assert run.error is not None
        assert run.error.code == "first_token_timeout"
        run = await stage.run(model(text="a b c", fail="stall", after="1"), deadline=Deadline(stall_s=0.05))
        assert run.error is not None
        assert run.error.code == "stream_stalled"


async def test_a_type_that_this_worker_does_not_know_fails_the_job(stage: Stage) -> None:
    run = await stage.run(model(text="x"), type="unheard_of")
    assert isinstance(run.error, errors.UnknownJobType)
    assert run.log == []


async def test_an_input_that_no_longer_fits_its_type_fails_the_job(stage: Stage) -> None:
    run = await stage.run(model(text="x"), asks={"prompt": 5})
    assert isinstance(run.error, errors.InvalidRequest)
