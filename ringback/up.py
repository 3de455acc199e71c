"""`ringback up`: everything on one machine in one command. Decides what the parts are told, then supervises them."""

import asyncio
import errno
import os
import socket
import sys
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import msgspec

from jobs import errors, logs
from jobs import settings as configuration
from jobs.settings import Settings
from ringback import address, data_dir, embedded, supervisor
from ringback.supervisor import ChildSpec

_STORE_STOP_S = 15.0
_ROLE_STOP_MARGIN_S = 5.0
_PROBE_PAUSE_S = 0.05
_PROBE_LIMIT_S = 2.0
_READY = '"status":"ready"'
"""In the health of a gateway that takes jobs and knows of a worker that runs them."""
_IMPATIENT_S = 30.0
"""After so long without being ready, and every so long again, say what is missing."""

_HANDED_DOWN = ("redis_url", "host", "port", "data_dir", "api_keys", "key_secret", "webhook_secret", "providers")


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What one `ringback up` runs: the settings that every part is told, and its own store if it has one."""

    settings: Settings
    store: embedded.Store | None
    made_secret: bool
    """Whether the webhook secret is our own (and so has to be shown)."""


def up(*, host: str | None, port: int | None, directory: Path | None) -> int:
    """Runs store, worker and gateway until told to stop; returns the exit code.

    What is `None` comes from the settings. Raises `errors.ConfigurationError` or `supervisor.CannotStart`.
    """
    given = configuration.load(defaults={"redis_url": ""}, host=host, port=port, data_dir=directory)
    with data_dir.claimed(given.data_dir.absolute()) as lock:
        plan = complete(given)
        _greet(plan)
        say = _sayer(plan.settings)
        keeper = supervisor.Supervisor(children(plan, lock), running=lambda: _ready(plan, say), say=say)
        return asyncio.run(keeper.run())


def complete(given: Settings) -> Plan:
    """What to run under the `given` settings, whose `redis_url` is empty for an embedded store. Starts nothing."""
    home = given.data_dir.absolute()
    port = _free_port(given.host, given.port)
    store = None if given.redis_url else embedded.prepare(home, strict=given.durability == "strict")
    settings = configuration.load(
        defaults={
            "redis_url": store.url if store else given.redis_url,
            "api_keys": "off" if _is_loopback(given.host) else "required",
            "providers": (*given.providers, "fake"),
        },
        host=given.host,
        port=port,
        data_dir=home,
    )
    made_secret = not settings.webhook_secret
    if made_secret:
        settings = msgspec.structs.replace(settings, webhook_secret=data_dir.webhook_secret(home))
    if not settings.key_secret:
        settings = msgspec.structs.replace(settings, key_secret=data_dir.key_secret(home))
    return Plan(settings=settings, store=store, made_secret=made_secret)


def children(plan: Plan, lock: int) -> list[ChildSpec]:
    """The processes of `plan`, each after those it needs; the store shares the open `lock` of the data directory."""
    env = os.environ | {f"RINGBACK_{name.upper()}": _as_variable(plan.settings, name) for name in _HANDED_DOWN}
    stop_s = plan.settings.drain_s + _ROLE_STOP_MARGIN_S
    # -P: a folder named like one of ours in the current directory must not be imported instead.
    command = (sys.executable, "-P", "-m", "ringback")
    roles = [ChildSpec(name=role, argv=(*command, role), env=env, stop_s=stop_s) for role in ("worker", "gateway")]
    if plan.store is None:
        return roles
    store = ChildSpec(
        name="valkey",
        argv=plan.store.argv,
        env=os.environ,
        stop_s=_STORE_STOP_S,
        keep_fds=(lock,),
        log=plan.store.log,
    )
    return [store, *roles]


def _as_variable(settings: Settings, name: str) -> str:
    value = getattr(settings, name)
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _free_port(host: str, port: int) -> int:
    """`port` if the gateway can have it, any free one for 0."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            return int(probe.getsockname()[1])
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            reason = f"Port {port} on {host} is already in use; choose another with --port (0: any free one)"
        else:
            reason = f"Port {port} on {host} cannot be used: {error.strerror}"
        raise errors.ConfigurationError(reason) from error


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _greet(plan: Plan) -> None:
    settings = plan.settings
    store = f"embedded Valkey in {settings.data_dir}" if plan.store else "the store of RINGBACK_REDIS_URL"
    _tell(f"Starting gateway and worker on {store}; providers: {', '.join(settings.providers)}")
    if settings.api_keys == "off":
        _tell("API keys are off: whoever reaches this port may submit jobs (RINGBACK_API_KEYS=required turns them on)")
    else:
        _tell("API keys are required: `ringback keys create NAME` makes one; commands take it from RINGBACK_API_KEY")
    if plan.made_secret:
        _tell(f"Callbacks are signed with {settings.webhook_secret} (kept in the data directory)")


async def _ready(plan: Plan, say: Callable[[str], None]) -> None:
    """Returns once the gateway takes jobs and a worker runs them, and tells so."""
    loop = asyncio.get_running_loop()
    impatient_at = loop.time() + _IMPATIENT_S
    while True:
        try:
            health = await _health(address.host(plan.settings), plan.settings.port)
        except (OSError, TimeoutError) as error:
            health = f"the gateway does not answer ({str(error) or 'timed out'})"
        if _READY in health:
            break
        if loop.time() >= impatient_at:
            impatient_at += _IMPATIENT_S
            say(f"still not ready: {health}")
        await asyncio.sleep(_PROBE_PAUSE_S)
    url = address.url(plan.settings)
    _tell(f"Ringback is ready at {url}")
    option = "" if url == address.url(Settings()) else f" --url {url}"
    _tell(f'Try: ringback submit soften --text "Where is my order? This is a disgrace!" --watch{option}')


async def _health(host: str, port: int) -> str:
    """The body of `GET /health/ready`."""
    async with asyncio.timeout(_PROBE_LIMIT_S):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(b"GET /health/ready HTTP/1.0\r\nHost: ringback\r\n\r\n")
            answer = await reader.read()
        finally:
            writer.close()
    return answer.partition(b"\r\n\r\n")[2].decode("utf-8", "replace")


def _sayer(settings: Settings) -> Callable[[str], None]:
    """Warnings for the operator, to our log. It is set up at the first one: its imports would delay every start."""
    log: Any = None

    def say(message: str) -> None:
        nonlocal log
        if log is None:
            logs.configure(settings, "supervisor")
            import structlog

            log = structlog.get_logger()
        log.warning(message)

    return say


def _tell(line: str) -> None:
    """To stdout. That whoever read it has gone is no reason to stop serving."""
    try:
        print(line, flush=True)
    except OSError:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for the rest of the process
