"""Hints through a real broker: never in the sender's way, and on their way again after an outage."""

import json
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from kombu.exceptions import OperationalError
from redis import Redis

from jobs import dispatch as dispatch_module
from jobs.dispatch import QUEUES, RUN_TASK, Dispatch, Enclosures, celery_app
from jobs.job import Priority
from jobs.settings import Settings
from tests.stack import Stack, eventually


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A broker of the test's own."""
    stack = Stack(tmp_path, {})
    yield stack
    stack.close()


@pytest.fixture
def dispatch(stack: Stack) -> Iterator[Dispatch]:
    made = Dispatch(celery_app(Settings(redis_url=stack.store_spec.url)))
    yield made
    made.close()


def hints(stack: Stack, queue: str) -> list[object]:
    """The ids of the tasks in a queue, oldest first."""
    with Redis.from_url(stack.store_spec.url) as redis:
        rows = redis.lrange(queue, 0, -1)
    messages = [json.loads(row) for row in reversed(rows)]
    assert {message["headers"]["task"] for message in messages} <= {RUN_TASK}
    return [message["headers"]["id"] for message in messages]


def test_a_hint_goes_to_the_queue_of_its_priority(stack: Stack, dispatch: Dispatch) -> None:
    for priority in QUEUES:
        dispatch.send(f"job_{priority}", priority)
    dispatch.send("job_second", "normal")
    eventually(lambda: dispatch.depth() == 4)
    assert hints(stack, QUEUES["high"]) == ["job_high"]
    assert hints(stack, QUEUES["normal"]) == ["job_normal", "job_second"]
    assert hints(stack, QUEUES["low"]) == ["job_low"]


def test_an_enclosed_hint_is_what_kombu_would_have_sent(stack: Stack, dispatch: Dispatch) -> None:
    enclosures = Enclosures(celery_app(Settings(redis_url=stack.store_spec.url)))
    for priority in QUEUES:
        queue, enclosed = enclosures.of("job_1", priority)
        dispatch.send("job_1", priority)
        eventually(partial(hints, stack, queue))
        with Redis.from_url(stack.store_spec.url) as redis:
            sent = json.loads(redis.lindex(queue, 0))
        made = json.loads(enclosed)
        for message in (sent, made):  # unique to the message, and who made it
            assert message["properties"].pop("delivery_tag")
            assert message["headers"].pop("origin")
        assert made == sent
    assert enclosures.of("job_2", "low")[1] != enclosures.of("job_3", "low")[1]


def test_empty_queues_have_no_depth(dispatch: Dispatch) -> None:
    assert dispatch.depth() == 0


@pytest.mark.parametrize("how", ["down", "hung"])
def test_a_broker_that_is_away_is_in_nobodys_way(stack: Stack, dispatch: Dispatch, how: str) -> None:
    dispatch.send("job_before", "normal")
    eventually(lambda: dispatch.depth() == 1)
    if how == "down":
        stack.kill_store()
    else:
        stack.store.send(signal.SIGSTOP)
    began = time.monotonic()
    for n in range(1000):
        dispatch.send(f"job_{n}", "normal")
    assert time.monotonic() - began < 1
    if how == "down":
        stack.restart_store()
    else:
        stack.store.send(signal.SIGCONT)

    def arrives() -> bool:
        dispatch.send("job_after", "high")
        return "job_after" in hints(stack, QUEUES["high"])

    eventually(arrives)


def test_a_hint_that_cannot_be_sent_is_kept_for_a_moment(stack: Stack, dispatch: Dispatch) -> None:
    dispatch.send("job_before", "normal")
    eventually(lambda: dispatch.depth() == 1)
    stack.kill_store()
    dispatch.send("job_meanwhile", "normal")
    stack.restart_store()
    eventually(lambda: "job_meanwhile" in hints(stack, QUEUES["normal"]))


def test_hints_are_not_kept_for_long(dispatch: Dispatch, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.kill_store()
    monkeypatch.setattr(dispatch_module, "KEPT_S", 0.2)
    for n in range(100):
        dispatch.send(f"job_{n}", "normal")
    monkeypatch.setattr(dispatch_module, "KEPT_S", 60.0)
    dispatch.send("job_after", "normal")
    eventually(dispatch._unsent.empty, what="what is too old has been dropped")
    stack.restart_store()
    eventually(lambda: hints(stack, QUEUES["normal"]) == ["job_after"])


def test_more_hints_than_can_wait_are_dropped(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch_module, "_UNSENT_LIMIT", 5)
    stack.store.send(signal.SIGSTOP)
    dispatch = Dispatch(celery_app(Settings(redis_url=stack.store_spec.url)))
    began = time.monotonic()
    for n in range(100):
        dispatch.send(f"job_{n}", "normal")
    assert time.monotonic() - began < 1
    dispatch.close()
    assert time.monotonic() - began < 8
    stack.store.send(signal.SIGCONT)
    eventually(lambda: len(hints(stack, QUEUES["normal"])) >= 5)


def test_closing_sends_what_is_left_and_does_not_wait_long(stack: Stack) -> None:
    dispatch = Dispatch(celery_app(Settings(redis_url=stack.store_spec.url)))
    for n in range(100):
        dispatch.send(f"job_{n}", "normal")
    dispatch.close()
    assert len(hints(stack, QUEUES["normal"])) == 100
    hung = Dispatch(celery_app(Settings(redis_url=stack.store_spec.url)))
    stack.store.send(signal.SIGSTOP)
    hung.send("job_x", "normal")
    began = time.monotonic()
    hung.close()
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("priority", QUEUES)
def test_every_priority_has_a_queue_that_workers_look_at(priority: Priority) -> None:
    app = celery_app(Settings())
    assert [queue.name for queue in app.conf.task_queues] == ["jobs.high", "jobs.normal", "jobs.low"]
    assert QUEUES[priority] in {queue.name for queue in app.conf.task_queues}


def test_the_app_has_no_results_and_takes_only_json() -> None:
    conf = celery_app(Settings()).conf
    assert conf.result_backend is None
    assert conf.task_ignore_result
    assert conf.accept_content == ["json"]
    assert conf.broker_transport_options["socket_timeout"] == 5
    amqp = celery_app(Settings(broker_url="amqp://guest@broker//")).conf
    assert amqp.task_default_queue_type == "quorum"
    assert amqp.broker_transport_options == {}


def test_a_lost_connection_is_tried_again_every_other_second(tmp_path: Path) -> None:
    pauses: list[float] = []
    connection = celery_app(Settings(redis_url=f"unix://{tmp_path}/nothing")).connection_for_read()
    with pytest.raises(OperationalError):
        connection.ensure_connection(lambda _, pause: pauses.append(pause), 2)
    assert len(pauses) == 2
    assert max(pauses) <= 2
    connection.close()
