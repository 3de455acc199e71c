"""All settings, from `ringback.toml` overridden by `RINGBACK_*` variables. The environment is read only here.

Vendor SDKs read their own variables themselves; here we only look which vendors those variables switch on.
"""

import math
import os
import re
import tomllib
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints
from urllib.parse import urlsplit

import msgspec

from jobs import errors, signing
from jobs.model import PROVIDERS
from jobs.routes import Listed, Target, check

SWITCHED_ON_BY: dict[str, tuple[str, ...]] = {
    "bedrock": (
        "AWS_ACCESS_KEY_ID",
        "AWS_PROFILE",
        "AWS_BEARER_TOKEN_BEDROCK",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "anthropic": ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"),
    "openai": ("OPENAI_API_KEY", "OPENAI_BASE_URL"),
}
"""Any one of these variables, set and not empty, switches the provider on."""

Network = IPv4Network | IPv6Network


class Timeouts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Default deadlines of a job, in seconds; a job's own `deadline` overrides each."""

    start_s: float | None = None
    first_token_s: float = 60.0
    stall_s: float = 60.0
    total_s: float = 600.0


class Destination(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A `[destinations.NAME]` in ringback.toml: exactly one of the first four says what it is."""

    url: str = ""
    """What is said here holds for callbacks to URLs that start with this one."""
    slack_webhook: str = ""
    """An incoming webhook's URL."""
    slack_token: str = ""
    """A bot's token; at most one destination has one."""
    slack_api_url: str = ""
    """Where the bot calls Slack; empty: `https://slack.com/api/`."""
    database_url: str = ""
    """As SQLAlchemy spells it, such as `postgresql+pg8000://…` or `sqlite:////…`."""
    table: str = "ringback_results"
    secret: str = ""
    """`whsec_…`: signs instead of `webhook_secret`."""
    previous_secret: str = ""
    """While a secret rotates, callbacks carry the signature of this one too."""
    signing_key: str = ""
    """`whsk_…` and base64 of an Ed25519 key's 32 bytes: callbacks also carry its `v1a` signature."""
    concurrency: int = 16
    """Deliveries under way to it at once, per worker process."""
    per_second: float = 0.0
    """Deliveries begun in a second, per worker process; 0: as many as come. Slack channels never get more than one."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ringback's settings. Each field `x` is `x` in ringback.toml and `RINGBACK_X` in the environment."""

    redis_url: str = "redis://127.0.0.1:6379/0"
    """Redis or Valkey: the truth about jobs."""
    broker_url: str = ""
    """Celery's broker, which carries hints only; empty: the Redis above."""
    host: str = "127.0.0.1"
    port: int = 8000
    data_dir: Path = Path(".ringback")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["console", "json"] = "console"
    default_model: str = "offline/rules"
    """Route or `provider/model` where neither the job nor its prompt names one."""
    prompts_dir: Path | None = None
    api_keys: Literal["required", "off"] = "required"
    key_secret: str = ""
    """At least 32 characters, the same for all gateways: API keys are stored only hashed with it, and another one makes
    all of them invalid."""
    allowed_hosts: tuple[str, ...] = ()
    """Names that this server is called by, besides addresses and names without a dot; for when API keys are off."""
    webhook_secret: str = ""
    """`whsec_` and base64 of 24 to 64 bytes; callbacks are signed with it."""
    webhook_previous_secret: str = ""
    """While `webhook_secret` rotates, callbacks carry the signature of this one too."""
    callback_allow: tuple[str, ...] = ()
    """CIDRs or host names that callbacks may reach although they are private."""
    tts: Literal["", "polly", "offline"] = ""
    """Which service speaks; empty: Amazon's where AWS credentials are in the environment, else `offline`."""
    stt: Literal["", "transcribe", "transcribe-batch", "offline"] = ""
    """Which service understands speech; empty: as for `tts`."""
    s3_bucket: str = ""
    """Bucket for audio in and out; empty: local storage under `data_dir`."""
    transcribe_streaming_url: str = ""
    """`wss://…` or `ws://…` instead of Transcribe's streaming endpoint of the region."""
    providers: tuple[str, ...] = ()
    """Which providers are on; empty: those whose credentials are in the environment, and `offline`."""
    routes: dict[str, Listed] = {}
    """Names for lists of `provider/model`; only in ringback.toml."""
    aliases: dict[str, str] = {}
    """Other names for routes and `provider/model`, such as those that clients have built in; only in ringback.toml."""
    targets: dict[str, Target] = {}
    """Limits, abilities and prices of single `provider/model`; only in ringback.toml."""
    destinations: dict[str, Destination] = {}
    """Where callbacks go besides the URLs that callers name, and what holds for such URLs; only in ringback.toml."""
    timeouts: Timeouts = Timeouts()
    """Only in ringback.toml."""
    shards: int = 16
    """Into how many hash slots the keys of new jobs spread; it may grow, and ids tell their shard. Made smaller, it
    hides the jobs of the shards that are left out."""
    worker_slots: int = 256
    """Jobs that one worker process runs at once."""
    max_attempts: int = 5
    """Attempts at a job whose workers died, before it fails with `attempts_exhausted`."""
    lease_s: float = 30.0
    """A worker that has not renewed its lease on a job for so long has lost it."""
    queue_limit: int = 100_000
    """Jobs that have not ended; with so many, new ones are refused with 503. Counted for each shard: a 16th each."""
    queue_limit_per_key: int = 20_000
    """Jobs of one API key and one priority that wait; with so many, its next ones are refused with 429. So counted."""
    queue_age_s: float = 3_600.0
    """When the oldest queued job has waited so long, new ones are refused with 503."""
    durability: Literal["normal", "strict"] = "normal"
    """`strict`: a 202 waits until the job is on the store's disk (`WAITAOF`), and on `durability_replicas` replicas."""
    durability_replicas: int = 0
    max_body_bytes: int = 4 * 1024 * 1024
    max_audio_bytes: int = 10 * 1024 * 1024
    """Of a recording that is sent, or fetched by URL."""
    job_retention_s: float = 7 * 86_400.0
    event_retention_s: float = 3_600.0
    """After the job's end."""
    delivery_retention_s: float = 30 * 86_400.0
    usage_retention_s: float = 400 * 86_400.0
    """For how long `GET /v1/usage` knows a day."""
    session_ttl_s: float = 3_600.0
    """How long a session lasts after its last turn."""
    history: Literal["redis", "dynamodb"] = "redis"
    """Where what was said is kept when its session is over."""
    history_retention_s: float = 30 * 86_400.0
    """And for how long; DynamoDB deletes it if its table has a time to live on `expires_at`."""
    history_table: str = "ringback-history"
    """In DynamoDB."""
    store_timeout_s: float = 1.5
    """How long the gateway waits for the store before it answers 503."""
    drain_s: float = 20.0
    """How long a process that was told to stop may take to finish what it runs."""

    @property
    def broker(self) -> str:
        """The broker's URL as kombu spells it."""
        url = self.broker_url or self.redis_url
        return "redis+socket://" + url.removeprefix("unix://") if url.startswith("unix://") else url

    @property
    def one_redis(self) -> bool:
        """Whether the job store is the broker too."""
        return self.broker_url in ("", self.redis_url)

    @property
    def callback_networks(self) -> tuple[Network, ...]:
        """The allowed private networks; a single address is a network of one."""
        return tuple(ip_network(entry, strict=False) for entry in self.callback_allow if _is_network(entry))

    @property
    def callback_hosts(self) -> frozenset[str]:
        """The allowed host names, in lower case."""
        return frozenset(entry.lower() for entry in self.callback_allow if not _is_network(entry))


def _is_network(entry: str) -> bool:
    try:
        ip_network(entry, strict=False)
    except ValueError:
        return False
    return True


_IN_FILE_ONLY = frozenset({"routes", "aliases", "targets", "destinations", "timeouts"})
_LISTS = frozenset({"allowed_hosts", "callback_allow", "providers"})
_POSITIVE = (
    *("worker_slots", "max_attempts", "lease_s", "max_body_bytes", "max_audio_bytes", "store_timeout_s", "drain_s"),
    *("queue_limit", "queue_limit_per_key", "queue_age_s"),
    *("job_retention_s", "event_retention_s", "delivery_retention_s", "usage_retention_s"),
    *("session_ttl_s", "history_retention_s"),
)
_TABLE = re.compile(r"[A-Za-z_]\w{0,62}(\.[A-Za-z_]\w{0,62})?", re.ASCII)
_STREAMING_URL = re.compile(r"wss?://[^/\s?#@]+/?")
_KINDS = ("url", "slack_webhook", "slack_token", "database_url")
_SHORTEST_LEASE_S = 1.0
"""Workers look after their leases every half second."""
_SHORTEST_SESSION_S = 30.0
"""Workers keep a session alive every five seconds while a turn is under way."""
_PLACE = re.compile(r"(?P<what>.*?)(?: - at `\$\.(?P<path>[^`]*)`)?", re.DOTALL)
"""A message of msgspec: what is wrong, and where."""


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for field in Settings.__struct_fields__:
        raw = environ.get(f"RINGBACK_{field.upper()}", "").strip()
        if field in _IN_FILE_ONLY or not raw:
            continue
        values[field] = [part.strip() for part in raw.split(",") if part.strip()] if field in _LISTS else raw
    return values


def _from_file(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        return tomllib.loads(text)
    except OSError as error:
        raise errors.ConfigurationError(f"RINGBACK_CONFIG: cannot read {path}: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise errors.ConfigurationError(f"{path}: not valid TOML: {error}") from error


def _aws(environ: Mapping[str, str]) -> bool:
    """Whether there are AWS credentials that do for more than Bedrock."""
    file = Path(environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials").expanduser()
    only_bedrock = "AWS_BEARER_TOKEN_BEDROCK"
    return any(environ.get(n) for n in SWITCHED_ON_BY["bedrock"] if n != only_bedrock) or file.is_file()


def _switched_on(environ: Mapping[str, str]) -> tuple[str, ...]:
    by_key = [provider for provider, names in SWITCHED_ON_BY.items() if any(environ.get(name) for name in names)]
    if "bedrock" not in by_key and _aws(environ):
        by_key.append("bedrock")
    return (*by_key, "offline")


def load(
    environ: Mapping[str, str] | None = None, *, defaults: Mapping[str, Any] | None = None, **overrides: Any
) -> Settings:
    """The settings from `environ` (default: the process's own) and the file that `RINGBACK_CONFIG` names.

    `overrides` win over both; those that are `None` are ignored. `defaults` stand in for what is given nowhere.
    Raises `errors.ConfigurationError` naming the setting, its source and what is allowed.
    """
    env = os.environ if environ is None else environ
    config = env.get("RINGBACK_CONFIG")
    path = Path(config) if config else Path("ringback.toml")
    from_file = _from_file(path) if config or path.is_file() else {}
    from_env = _from_environment(env)
    values = dict(defaults or {}) | from_file | from_env | {k: v for k, v in overrides.items() if v is not None}
    try:
        settings = msgspec.convert(values, Settings, strict=False, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise errors.ConfigurationError(_problem(str(error), path, from_env)) from error
    if not settings.providers:
        settings = msgspec.structs.replace(settings, providers=_switched_on(env))
    if not (settings.tts and settings.stt):
        tts, stt = ("polly", "transcribe") if _aws(env) else ("offline", "offline")
        settings = msgspec.structs.replace(settings, tts=settings.tts or tts, stt=settings.stt or stt)
    _check(settings)
    return settings


def _problem(message: str, path: Path, from_env: Mapping[str, Any]) -> str:
    """A message of msgspec with the variable or the place in the file that it is about, and the choices there are."""
    match = _PLACE.fullmatch(message)
    what, place = (match["what"], match["path"] or "") if match else (message, "")
    field = re.split(r"[.\[]", place)[0]
    source = f"RINGBACK_{field.upper()}" if field in from_env else f"{path}: {place}" if place else str(path)
    annotation = get_type_hints(Settings).get(field)
    choices = [choice for choice in get_args(annotation) if choice and isinstance(choice, str)]
    return f"{source}: {what}" + (f"; one of {', '.join(choices)}" if choices else "")


def _decode(wanted: type, value: Any) -> Any:
    """What msgspec does not read by itself: the only such type here is a path."""
    if wanted is Path and isinstance(value, str | Path):
        return Path(value).expanduser()
    raise ValueError(f"Expected {wanted.__name__}, got {type(value).__name__}")


def _check(settings: Settings) -> None:
    for provider in settings.providers:
        if provider not in PROVIDERS:
            raise errors.ConfigurationError(f"RINGBACK_PROVIDERS: {provider!r} is not one of {', '.join(PROVIDERS)}")
    check(settings.routes, settings.aliases, settings.targets)
    if settings.stt == "transcribe-batch" and not settings.s3_bucket:
        raise errors.ConfigurationError(
            "RINGBACK_S3_BUCKET: RINGBACK_STT=transcribe-batch needs a bucket for the audio"
        )
    url = settings.transcribe_streaming_url
    if url and not _STREAMING_URL.fullmatch(url):
        raise errors.ConfigurationError("RINGBACK_TRANSCRIBE_STREAMING_URL: wss://host[:port] or ws://host[:port]")
    for entry in settings.callback_allow:
        if not _is_network(entry) and ("/" in entry or ":" in entry):
            raise errors.ConfigurationError(
                f"RINGBACK_CALLBACK_ALLOW: {entry!r} is no network such as 10.0.0.0/8, no address and no host name"
            )
    for name, destination in settings.destinations.items():
        _check_destination(f"destinations.{name}", destination)
    if sum(1 for destination in settings.destinations.values() if destination.slack_token) > 1:
        raise errors.ConfigurationError("destinations: at most one may have a slack_token")
    _check_numbers(settings)


def _check_destination(place: str, destination: Destination) -> None:
    given = [kind for kind in _KINDS if getattr(destination, kind)]
    if len(given) != 1:
        raise errors.ConfigurationError(f"{place}: exactly one of {', '.join(_KINDS)} must be given")
    for field in ("url", "slack_webhook", "slack_api_url"):
        if url := getattr(destination, field):
            _check_url(f"{place}.{field}", url)
    if not _TABLE.fullmatch(destination.table):
        raise errors.ConfigurationError(f"{place}.table: must be the name of a table, or schema.table")
    for field in ("secret", "previous_secret"):
        if secret := getattr(destination, field):
            signing.secret_bytes(secret, f"{place}.{field}")
    if destination.signing_key:
        signing.signing_key_bytes(destination.signing_key, f"{place}.signing_key")
    if destination.concurrency < 1:
        raise errors.ConfigurationError(f"{place}.concurrency: at least 1")
    if not 0 <= destination.per_second < math.inf:
        raise errors.ConfigurationError(f"{place}.per_second: 0 (as many as come) or more, and a number")


def _check_url(place: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        dots = {".", ".."} & set(parts.path.split("/"))
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and parts.username is None
        valid = valid and not (parts.query or parts.fragment or dots)
    except ValueError:
        valid = False
    if not valid:
        raise errors.ConfigurationError(
            f"{place}: must be an https:// or http:// URL without user, query, fragment and dot segments"
        )


def _check_numbers(settings: Settings) -> None:
    if not 1 <= settings.shards <= 1024:
        raise errors.ConfigurationError("RINGBACK_SHARDS: 1 to 1024")
    if not 0 <= settings.port <= 65_535:
        raise errors.ConfigurationError("RINGBACK_PORT: 0 to 65535")
    for field in _POSITIVE:
        if not 0 < getattr(settings, field) < math.inf:
            raise errors.ConfigurationError(f"RINGBACK_{field.upper()}: must be greater than 0, and a number")
    if settings.lease_s < _SHORTEST_LEASE_S:
        raise errors.ConfigurationError(f"RINGBACK_LEASE_S: at least {_SHORTEST_LEASE_S:g} s")
    if settings.session_ttl_s < _SHORTEST_SESSION_S:
        raise errors.ConfigurationError(f"RINGBACK_SESSION_TTL_S: at least {_SHORTEST_SESSION_S:g} s")
    for name, limit in msgspec.structs.asdict(settings.timeouts).items():
        if limit is not None and not 0 < limit < math.inf:
            raise errors.ConfigurationError(f"timeouts.{name}: must be greater than 0, and a number")
