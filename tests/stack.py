"""The real thing for tests: a Valkey, gateways and workers as processes of their own, to be killed at will."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from redis import Redis

from ringback import embedded

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
KEY_SECRET = "pepper0123456789abcdef0123456789"

_NOT_FROM_OUTSIDE = ("RINGBACK_", "AWS_", "OPENAI_", "ANTHROPIC_", "PYTHONDONTWRITEBYTECODE")
"""Beginnings of names of variables. Without bytecode every one of hundreds of starts would compile all it imports."""


def eventually(condition: Callable[[], Any], *, timeout: float = 20.0, what: str = "") -> Any:
    """The first truthy value of `condition()`. Raises `AssertionError` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        if value := condition():
            return value
        assert time.monotonic() < deadline, f"not within {timeout} s: {what or condition}"
        time.sleep(0.01)


def free_port() -> int:
    """A port on loopback that nothing listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Reply(msgspec.Struct, frozen=True):
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The decoded body."""
        return msgspec.json.decode(self.body)


def request(
    url: str, *, method: str = "GET", body: Any = None, headers: Mapping[str, str] | None = None, timeout: float = 30.0
) -> Reply:
    """One request; `body` is sent as it is if it is bytes, else as JSON. Header names come back in lower case."""
    data = body if body is None or isinstance(body, bytes) else msgspec.json.encode(body)
    outgoing = urllib.request.Request(url, data=data, method=method, headers=dict(headers or {}))
    try:
        with urllib.request.urlopen(outgoing, timeout=timeout) as answer:
            return Reply(answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Reply(error.code, {k.lower(): v for k, v in error.headers.items()}, error.read())


class Process:
    """One child process with its log."""

    def __init__(self, argv: list[str], env: Mapping[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as sink:
            self._popen = subprocess.Popen(argv, env=dict(env), stdout=sink, stderr=sink, start_new_session=True)

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        return self._popen.poll()

    def send(self, number: int) -> None:
        if self._popen.poll() is None:
            self._popen.send_signal(number)

    def stop(self, number: int = signal.SIGTERM, *, timeout: float = 40.0) -> int:
        """Sends the signal and waits for the end; the exit code."""
        self.send(number)
        self.send(signal.SIGCONT)
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
            raise


class Stack:
    """A store with any number of gateways and workers on it."""

    def __init__(self, home: Path, env: Mapping[str, str]) -> None:
        """`env` is added to the environment of gateways and workers."""
        self.home = home
        self.store_spec = embedded.prepare(home)
        self.store = self._start_store()
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith(_NOT_FROM_OUTSIDE)},
            "RINGBACK_REDIS_URL": self.store_spec.url,
            "RINGBACK_DATA_DIR": str(home),
            "RINGBACK_API_KEYS": "off",
            "RINGBACK_KEY_SECRET": KEY_SECRET,
            "RINGBACK_WEBHOOK_SECRET": SECRET,
            "RINGBACK_CALLBACK_ALLOW": "127.0.0.0/8",
            "RINGBACK_LOG_FORMAT": "json",
            **env,
        }
        self.processes: list[Process] = [self.store]
        self.gateways: dict[str, Process] = {}

    def _start_store(self) -> Process:
        store = Process(list(self.store_spec.argv), os.environ, self.home / "valkey.out")
        path = self.store_spec.url.removeprefix("unix://").partition("?")[0]

        def answers() -> bool:
            with socket.socket(socket.AF_UNIX) as probe:
                try:
                    probe.connect(path)
                    probe.settimeout(1)
                    probe.sendall(b"PING\r\n")
                    return probe.recv(16).startswith(b"+PONG")
                except OSError:
                    return False

        eventually(answers, what="Valkey answers")
        return store

    def kill_store(self) -> None:
        """Kills the store once what it was told is in its file: a sync under way holds writes back (`everysec`)."""
        with Redis.from_url(self.store_spec.url) as redis:
            redis.client_pause(10_000, all=False)  # nothing is written, and told to be, between the look and the kill
            eventually(lambda: redis.info("persistence")["aof_buffer_length"] == 0)
        self.store.stop(signal.SIGKILL)

    def restart_store(self) -> None:
        """Starts the store again after it was stopped."""
        self.store = self._start_store()
        self.processes.append(self.store)

    def worker(self, **env: str) -> Process:
        """Starts a worker; it may take a second until it consumes (`wait_ready`)."""
        process = Process([sys.executable, "-m", "ringback", "worker"], self.env | env, self.home / "worker.log")
        self.processes.append(process)
        return process

    def gateway(self, *, module: str = "ringback", **env: str) -> str:
        """Starts a gateway; its URL once it answers. `module` is one that is run like `ringback`."""
        port = free_port()
        process = Process(
            [sys.executable, "-m", module, "gateway"],
            self.env | env | {"RINGBACK_PORT": str(port)},
            self.home / "gateway.log",
        )
        self.processes.append(process)
        url = f"http://127.0.0.1:{port}"
        self.gateways[url] = process

        def answers() -> bool:
            assert process.exit_code is None, process.log.read_text()
            try:
                return request(f"{url}/health/live").status == 200
            except OSError:
                return False

        eventually(answers, what="the gateway answers")
        return url

    def wait_ready(self, url: str, workers: int = 1) -> None:
        """Returns once `workers` workers have proved that they consume."""

        def ready() -> bool:
            reply = request(f"{url}/health/ready")
            return reply.status == 200 and reply.json["workers"] >= workers

        eventually(ready, timeout=30, what="workers consume")

    def close(self) -> None:
        """Ends everything at once."""
        for process in reversed(self.processes):
            process.stop(signal.SIGKILL)
