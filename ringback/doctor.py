"""`ringback doctor`: checks what a deployment stands on, one line per check, each bounded in time."""

import asyncio
import re
import threading
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from jobs import errors, logs, signing
from jobs.model import ModelSettings, split_model
from jobs.routes import Route
from jobs.settings import Settings
from jobs.store.access_keys import check_secret
from jobs.store.circuits import Circuits
from jobs.store.connection import Connection
from jobs.store.durability import facts, weaknesses
from jobs.store.presence import Presence
from providers.service import Ask, Message, Text
from ringback import data_dir, destinations, embedded

if TYPE_CHECKING:
    from providers.registry import Services

_MAX_TOKENS = 64
_NEEDS_NO_KEY = {"offline": "offline/rules", "fake": "fake/echo"}
"""A model of each provider that costs nothing to ask."""


class Finding(msgspec.Struct, frozen=True):
    """The result of one check."""

    verdict: Literal["ok", "warn", "fail"]
    name: str
    detail: str


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How long a check may take, in seconds."""

    store_s: float = 5.0
    provider_s: float = 20.0


def examine(*, models: Sequence[str], limits: Limits | None = None) -> int:
    """Prints every finding as it is made; returns 1 if any of them is `fail`, else 0.

    `models`: `provider/model` to try besides those that the settings name.
    """
    return asyncio.run(_report(models, limits or Limits()))


async def _report(models: Sequence[str], limits: Limits) -> int:
    failed = False
    async for finding in _findings(models, limits):
        print(f"{finding.verdict:<4}  {finding.name:<14}  {finding.detail}", flush=True)
        failed |= finding.verdict == "fail"
    return int(failed)


async def _findings(models: Sequence[str], limits: Limits) -> AsyncIterator[Finding]:
    try:
        settings = embedded.settings_beside()
    except errors.ConfigurationError as error:
        yield Finding("fail", "configuration", error.detail)
        return
    logs.configure(msgspec.structs.replace(settings, log_level="error"), "doctor")
    yield _configuration(settings)
    yield _signing(settings)
    yield _keys(settings)
    yield _prompts(settings)
    store = await _store(settings, limits.store_s)
    for finding in store:
        yield finding
    yield await _broker(settings, limits.store_s)
    if store[0].verdict == "ok":
        yield await _workers(settings, limits.store_s)
        async for finding in _circuits(settings, limits.store_s):
            yield finding
    async for finding in _destinations(settings, limits.store_s):
        yield finding
    async for finding in _providers(settings, models, limits.provider_s):
        yield finding


def _configuration(settings: Settings) -> Finding:
    fields = settings.__struct_fields__
    shown = "".join(f"\n      {field} = {_shown(field, getattr(settings, field))}" for field in fields)
    return Finding("ok", "configuration", f"the effective settings:{shown}")


def _signing(settings: Settings) -> Finding:
    if settings.webhook_secret:
        try:
            signing.secret_bytes(settings.webhook_secret)
        except errors.ConfigurationError as error:
            return Finding("fail", "signing", error.detail)
        return Finding("ok", "signing", "callbacks are signed")
    if data_dir.has_webhook_secret(settings.data_dir):
        return Finding("ok", "signing", f"`ringback up` signs callbacks with the secret in {settings.data_dir}")
    return Finding(
        "warn", "signing", "RINGBACK_WEBHOOK_SECRET is not set: only `ringback up`, which makes one, can start"
    )


def _keys(settings: Settings) -> Finding:
    if settings.api_keys == "off":
        return Finding("ok", "keys", "off: whoever reaches the gateway may use it")
    if not settings.key_secret and data_dir.has_key_secret(settings.data_dir):
        return Finding("ok", "keys", f"required; `ringback up` hashes them with the secret in {settings.data_dir}")
    if not settings.key_secret:
        return Finding(
            "warn",
            "keys",
            "RINGBACK_KEY_SECRET is not set: a secret in the store takes its place, so who writes to it can make keys",
        )
    try:
        check_secret(settings.key_secret)
    except errors.ConfigurationError as error:
        return Finding("fail", "keys", error.detail)
    return Finding("ok", "keys", "required")


def _shown(field: str, value: Any) -> str:
    """A setting's value without what is secret in it."""
    if field in ("key_secret", "webhook_secret", "webhook_previous_secret"):
        return "(set)" if value else "(not set)"
    if field == "destinations":
        return ", ".join(f"{name}: {destinations.place(found)}" for name, found in value.items()) or "(none)"
    if isinstance(value, str | Path):
        return _without_password(str(value)) or "(not set)"
    return "(not set)" if value is None else msgspec.json.encode(value).decode("utf-8")


def _without_password(url: str) -> str:
    return re.sub(r"(?<=://)[^/@]*@", "***@", url)


def _prompts(settings: Settings) -> Finding:
    from prompts import registry

    try:
        types = registry.load(settings.prompts_dir).types
    except errors.ConfigurationError as error:
        return Finding("fail", "prompts", error.detail)
    return Finding("ok", "prompts", f"{len(types)} job types: {', '.join(types)}")


async def _store(settings: Settings, limit_s: float) -> list[Finding]:
    """Whether the store answers, and whether it keeps what it is given."""
    url = _without_password(settings.redis_url)
    connection = Connection(settings.redis_url, timeout=limit_s)
    try:
        info = facts(await connection.call("INFO", "server"))
        found = await weaknesses(connection, settings)
    except errors.StoreUnavailable as error:
        reason = str(error.__cause__).rstrip(".") or f"no answer within {limit_s:g} s"
        return [Finding("fail", "store", f"{url}: {reason}; start `ringback up`, or name one in RINGBACK_REDIS_URL")]
    finally:
        await connection.aclose()
    name, version = info.get("server_name", "redis"), info.get("valkey_version") or info.get("redis_version")
    findings = [Finding("ok", "store", f"{name} {version} at {url}")]
    findings += [Finding("warn", weakness.subject, weakness.text) for weakness in found]
    weak = {weakness.subject for weakness in found}
    if not weak & {"durability", "syncing"}:
        findings.append(Finding("ok", "durability", "the append-only file is on"))
    if "eviction" not in weak:
        findings.append(Finding("ok", "eviction", "noeviction"))
    return findings


async def _broker(settings: Settings, limit_s: float) -> Finding:
    from jobs.dispatch import Dispatch, celery_app

    url = _without_password(settings.broker)
    depth: Future[int] = Future()

    def ask() -> None:
        depth.set_running_or_notify_cancel()
        try:
            depth.set_result(Dispatch(celery_app(settings)).depth())
        except Exception as error:  # noqa: BLE001 - every transport of kombu has errors of its own
            depth.set_exception(error)

    # A thread that nobody has to wait for: kombu tries for ever.
    threading.Thread(target=ask, daemon=True).start()
    try:
        async with asyncio.timeout(limit_s):
            waiting = await asyncio.wrap_future(depth)
    except TimeoutError:
        return Finding("fail", "broker", f"{url} does not answer within {limit_s:g} s")
    except Exception as error:  # noqa: BLE001 - as above
        return Finding("fail", "broker", f"{url}: {error}")
    return Finding("ok", "broker", f"{url}, hints waiting: {waiting}")


async def _workers(settings: Settings, limit_s: float) -> Finding:
    connection = Connection(settings.redis_url, timeout=limit_s)
    try:
        count = await Presence(connection).count()
    except errors.StoreUnavailable as error:
        return Finding("fail", "worker", error.detail)
    finally:
        await connection.aclose()
    if count:
        return Finding("ok", "worker", f"consuming: {count}")
    return Finding("warn", "worker", "no worker is consuming: jobs are accepted, but none will run")


async def _circuits(settings: Settings, limit_s: float) -> AsyncIterator[Finding]:
    connection = Connection(settings.redis_url, timeout=limit_s)
    try:
        found = await Circuits(connection).all()
    except errors.StoreUnavailable as error:
        yield Finding("fail", "circuits", error.detail)
        return
    finally:
        await connection.aclose()
    for circuit in found:
        if circuit.state != "closed":
            where = f"{circuit.target} in {circuit.region}" if circuit.region else circuit.target
            yield Finding("warn", "circuits", f"{where} is left alone after {circuit.reason} ({circuit.state})")
    if all(circuit.state == "closed" for circuit in found):
        yield Finding("ok", "circuits", "all closed: no target is left alone")


async def _destinations(settings: Settings, limit_s: float) -> AsyncIterator[Finding]:
    for name, destination in settings.destinations.items():
        try:
            async with asyncio.timeout(limit_s):
                problem = await asyncio.to_thread(destinations.problem, name, destination)
        except TimeoutError:
            problem = f"no answer within {limit_s:g} s"
        yield Finding("fail" if problem else "ok", name, problem or destinations.place(destination))


async def _providers(settings: Settings, models: Sequence[str], limit_s: float) -> AsyncIterator[Finding]:
    """Asks every model that is named anywhere, all at once, and tells them in order."""
    from providers.registry import Services

    routed = [target for route in settings.routes.values() for target in Route.of(route).targets]
    free = [model for provider, model in _NEEDS_NO_KEY.items() if provider in settings.providers]
    routed += settings.aliases.values()
    default = settings.aliases.get(settings.default_model, settings.default_model)
    targets = dict.fromkeys([*free, *models, default, *routed])
    named = [target for target in targets if target not in settings.routes]
    services = Services(settings)
    asking = [asyncio.create_task(_ask(services, target, limit_s)) for target in named]
    for answer in asking:
        yield await answer
    for provider in settings.providers:
        if not any(split_model(target)[0] == provider for target in named):
            hint = f"configured, but no model of it is named; try one with --model {provider}/MODEL"
            yield Finding("warn", provider, hint)
    await services.aclose()


async def _ask(services: "Services", target: str, limit_s: float) -> Finding:
    """One tiny real call."""
    provider, model = split_model(target)
    question = "Reply with the word: ok"
    ask = Ask(
        model=model,
        messages=(Message(role="user", parts=(Text(question),)),),
        settings=ModelSettings(max_tokens=_MAX_TOKENS),
        task="generate",
        subject={"text": question},
    )
    started = time.monotonic()
    try:
        async with asyncio.timeout(limit_s):
            answer = await services.get(provider).generate(ask)
    except TimeoutError:
        return Finding("fail", target, f"no answer within {limit_s:g} s")
    except errors.RingbackError as error:
        return Finding("fail", target, f"{error.code}: {error.detail}")
    except Exception as error:  # noqa: BLE001 - a vendor's SDK that cannot even be set up says so in its own way
        return Finding("fail", target, f"{type(error).__name__}: {error}")
    took = time.monotonic() - started
    return Finding("ok", target, f"{answer.model} answered in {took:.2f} s ({answer.usage.output_tokens} tokens)")
