"""Settings: every field from file and environment, and errors that name what to mend."""

from ipaddress import ip_network
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jobs import errors, settings
from jobs.routes import Price, Quota, Route, Target
from jobs.settings import Settings, Timeouts

FROM_ENVIRONMENT: dict[str, tuple[str, Any]] = {
    "redis_url": ("rediss://store:6380/2", "rediss://store:6380/2"),
    "broker_url": ("amqp://broker//", "amqp://broker//"),
    "host": ("::1", "::1"),
    "port": ("8123", 8123),
    "data_dir": ("/var/lib/ringback", Path("/var/lib/ringback")),
    "log_level": ("debug", "debug"),
    "log_format": ("json", "json"),
    "default_model": ("fast", "fast"),
    "prompts_dir": ("/etc/ringback/prompts", Path("/etc/ringback/prompts")),
    "api_keys": ("off", "off"),
    "webhook_secret": ("whsec_x", "whsec_x"),
    "key_secret": ("pepper", "pepper"),
    "webhook_previous_secret": ("whsec_y", "whsec_y"),
    "allowed_hosts": ("ringback.internal, ai.example.com", ("ringback.internal", "ai.example.com")),
    "callback_allow": (" 10.0.0.0/8 ,, Orders.internal,", ("10.0.0.0/8", "Orders.internal")),
    "providers": ("fake, offline", ("fake", "offline")),
    "tts": ("polly", "polly"),
    "stt": ("transcribe", "transcribe"),
    "s3_bucket": ("our-audio", "our-audio"),
    "transcribe_streaming_url": ("ws://127.0.0.1:8443", "ws://127.0.0.1:8443"),
    "shards": ("32", 32),
    "worker_slots": ("7", 7),
    "max_attempts": ("3", 3),
    "lease_s": ("2.5", 2.5),
    "queue_limit": ("500", 500),
    "queue_limit_per_key": ("50", 50),
    "queue_age_s": ("60", 60.0),
    "durability": ("strict", "strict"),
    "durability_replicas": ("1", 1),
    "max_body_bytes": ("1000", 1000),
    "max_audio_bytes": ("2000", 2000),
    "job_retention_s": ("60", 60.0),
    "event_retention_s": ("61.5", 61.5),
    "delivery_retention_s": ("62", 62.0),
    "usage_retention_s": ("63", 63.0),
    "session_ttl_s": ("64", 64.0),
    "history": ("dynamodb", "dynamodb"),
    "history_retention_s": ("65", 65.0),
    "history_table": ("said", "said"),
    "store_timeout_s": ("0.5", 0.5),
    "drain_s": ("4", 4.0),
}
IN_FILE_ONLY = {"routes", "aliases", "targets", "destinations", "timeouts"}


def load(tmp_path: Path, toml: str = "", **environ: str) -> Settings:
    """The settings from a file with that text and from these variables."""
    file = tmp_path / "ringback.toml"
    file.write_text(toml, encoding="utf-8")
    return settings.load({"RINGBACK_CONFIG": str(file), "HOME": str(tmp_path), **environ})


def refusal(tmp_path: Path, toml: str = "", **environ: str) -> str:
    """What is said about settings that cannot be used."""
    with pytest.raises(errors.ConfigurationError) as raised:
        load(tmp_path, toml, **environ)
    return raised.value.detail


def test_every_field_is_covered_here() -> None:
    assert set(Settings.__struct_fields__) == FROM_ENVIRONMENT.keys() | IN_FILE_ONLY


@pytest.mark.parametrize("field", FROM_ENVIRONMENT)
def test_a_variable_sets_its_field_and_no_other(field: str, tmp_path: Path) -> None:
    text, value = FROM_ENVIRONMENT[field]
    changed = msgspec.structs.asdict(load(tmp_path, **{f"RINGBACK_{field.upper()}": text}))
    unchanged = msgspec.structs.asdict(load(tmp_path))
    assert changed == unchanged | {field: value}
    assert changed[field] != unchanged[field]


@pytest.mark.parametrize("field", FROM_ENVIRONMENT)
def test_a_variable_wins_over_the_file_and_an_empty_one_does_not(field: str, tmp_path: Path) -> None:
    text, value = FROM_ENVIRONMENT[field]
    as_file = [str(v) for v in value] if isinstance(value, tuple) else str(value) if field.endswith("_dir") else value
    toml = f"{field} = {msgspec.json.encode(as_file).decode()}\n"
    variable = f"RINGBACK_{field.upper()}"
    assert getattr(load(tmp_path, toml), field) == value
    assert getattr(load(tmp_path, toml, **{variable: "  "}), field) == value
    default = getattr(load(tmp_path), field)
    other = "offline" if field == "providers" else str(default)
    if isinstance(default, str | int | float) and other:
        assert getattr(load(tmp_path, toml, **{variable: other}), field) == default
    assert getattr(load(tmp_path, toml, **{variable: text}), field) == value


def test_routes_and_timeouts_come_from_the_file(tmp_path: Path) -> None:
    toml = """
    [routes]
    fast = ["gemini/gemini-2.5-flash", "offline/rules"]
    [timeouts]
    start_s = 5
    stall_s = 1.5
    """
    found = load(tmp_path, toml, RINGBACK_ROUTES="x", RINGBACK_TIMEOUTS="y")
    assert found.routes == {"fast": ("gemini/gemini-2.5-flash", "offline/rules")}
    assert found.timeouts == Timeouts(start_s=5, stall_s=1.5)


def test_routes_aliases_and_targets_are_read(tmp_path: Path) -> None:
    toml = """
    [routes.spread]
    targets = ["openai/a", "fake/echo"]
    weights = [3, 1]
    hedge = true
    [aliases]
    "gpt-4o" = "spread"
    [targets."openai/a"]
    concurrency = 4
    first_token_s = 5
    price = {input = 1, output = 2.5}
    [targets."polly/neural"]
    concurrency = 40
    per_second = 20.5
    price = {characters = 12}
    """
    found = load(tmp_path, toml)
    assert found.routes == {"spread": Route(targets=("openai/a", "fake/echo"), weights=(3, 1), hedge=True)}
    assert found.aliases == {"gpt-4o": "spread"}
    price = Price(input=1, output=2.5)
    assert found.targets == {
        "openai/a": Target(concurrency=4, first_token_s=5, price=price),
        "polly/neural": Target(concurrency=40, per_second=20.5, price=Price(characters=12)),
    }
    assert found.targets["polly/neural"].quota == Quota(concurrency=40, per_second=20.5)
    assert (found.targets["polly/neural"].quota.at_once, Quota(per_second=0.1).at_once) == (21, 1)


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ('[routes]\n"a/b" = ["fake/echo"]', "routes.a/b: a route is a name without slash"),
        ("[routes]\nx = []", "routes.x: a route is a name without slash"),
        ('[routes]\nx = ["nobody/m"]', "routes.x: 'nobody/m' is not `provider/model`"),
        ('[routes.x]\ntargets = ["fake/a", "fake/b"]\nweights = [1]', "routes.x.weights: one number"),
        ('[routes.x]\ntargets = ["fake/a"]\nweights = [0]', "routes.x.weights: one number greater than 0"),
        ('[aliases]\nx = "y"', "aliases.x: 'y' is not `provider/model`"),
        ('[aliases]\nx = "fake/a"\n[routes]\nx = ["fake/a"]', "aliases.x: this is the name of a route"),
        ("[targets.x]", "targets: 'x' is not `provider/model`"),
        ('[targets."fake/a"]\nconcurrency = -1', 'targets."fake/a".concurrency: 0'),
        ('[targets."fake/a"]\nstall_s = 0', 'targets."fake/a".stall_s: must be greater than 0'),
        ('[targets."fake/a"]\nprice = {input = -1, output = 0}', 'targets."fake/a".price.input: 0 or more'),
        ('[targets."fake/a"]\nprice = {input = 1}', 'targets."fake/a".price.output: is needed; in US dollars'),
        ('[targets."fake/a"]\nprice = {input = 1, output = 1, audio_s = 1}', '"fake/a".price.audio_s: means nothing'),
        ('[targets."fake/a"]\nburst = 2', 'targets."fake/a".burst: means nothing without per_second'),
        ('[targets."fake/a"]\nper_second = nan', 'targets."fake/a".per_second: 0 (as many as come) or more'),
        ('[targets."polly/neurla"]', 'targets."polly/neurla": one of polly/standard, polly/neural'),
        ('[targets."polly/neural"]\nstall_s = 1', 'targets."polly/neural".stall_s: means nothing here; concurrency'),
        ('[targets."polly/neural"]\nprice = {audio_s = 1}', 'targets."polly/neural".price.characters: is needed'),
        ('[targets."polly/neural"]\nprice = {characters = -1}', "price.characters: 0 or more, in US dollars for a m"),
        ('[targets."transcribe/batch"]\nconcurrency = 1', 'batch".concurrency: means nothing here; price do'),
        ('[targets."transcribe/streaming"]\nprice = {minimum_s = 1}', "price.audio_s: is needed; in US dollars for"),
        ('[routes]\nx = ["polly/neural"]', "routes.x: 'polly/neural' is not `provider/model`"),
        ('[targets."fake/a"]\nspeed = 1', "unknown field `speed`"),
    ],
)
def test_what_is_wrong_with_routes_and_targets_is_said(toml: str, said: str, tmp_path: Path) -> None:
    assert said in refusal(tmp_path, toml)


def test_unknown_variables_are_ignored(tmp_path: Path) -> None:
    assert load(tmp_path, RINGBACK_TYPO="1", RINGBACK_="2", RINGBACK_SPEED="3") == load(tmp_path)


def test_overrides_win_and_defaults_stand_in(tmp_path: Path) -> None:
    environ = {"RINGBACK_PORT": "1", "HOME": str(tmp_path)}
    assert settings.load(environ, port=2, host=None).port == 2
    assert settings.load(environ, defaults={"port": 3, "host": "h"}) == settings.load(environ, host="h")


@pytest.mark.parametrize("field", ["port", "shards", "worker_slots", "max_attempts", "max_body_bytes"])
@pytest.mark.parametrize("value", ["many", "1.5", "0x10"])
def test_a_number_that_is_none_is_refused_by_its_variables_name(field: str, value: str, tmp_path: Path) -> None:
    assert refusal(tmp_path, **{f"RINGBACK_{field.upper()}": value}).startswith(f"RINGBACK_{field.upper()}: ")


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("port", ["-1", "65536"]),
        ("shards", ["0", "1025"]),
        ("worker_slots", ["0", "-3"]),
        ("max_attempts", ["0"]),
        ("lease_s", ["0", "-1", "nan", "inf", "0.5"]),
        ("session_ttl_s", ["0", "-1", "nan", "inf", "29"]),
        ("max_body_bytes", ["0"]),
        ("job_retention_s", ["0", "-1", "nan", "inf"]),
        ("event_retention_s", ["0", "-1"]),
        ("delivery_retention_s", ["0", "-1"]),
        ("usage_retention_s", ["0", "-1"]),
        ("store_timeout_s", ["0", "nan"]),
        ("drain_s", ["0", "inf"]),
    ],
)
def test_a_number_out_of_range_is_refused_by_its_variables_name(field: str, values: list[str], tmp_path: Path) -> None:
    for value in values:
        assert refusal(tmp_path, **{f"RINGBACK_{field.upper()}": value}).startswith(f"RINGBACK_{field.upper()}: ")


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("api_keys", "maybe", "required"),
        ("log_level", "loud", "debug"),
        ("log_format", "xml", "console"),
        ("providers", "offline,opnai", "openai"),
        ("tts", "loud", "polly"),
        ("stt", "whisper", "transcribe-batch"),
    ],
)
def test_a_choice_that_is_none_is_refused_with_those_there_are(
    field: str, value: str, allowed: str, tmp_path: Path
) -> None:
    said = refusal(tmp_path, **{f"RINGBACK_{field.upper()}": value})
    assert said.startswith(f"RINGBACK_{field.upper()}: ")
    assert allowed in said


def test_what_is_wrong_in_the_file_names_the_file(tmp_path: Path) -> None:
    for toml, named in (
        ('port = "x"', "port"),
        ("prot = 1", "prot"),
        ("[timeouts]\nfirst_s = 1", "first_s"),
        ("[timeouts]\ntotal_s = 0", "timeouts.total_s"),
        ("[timeouts]\nstall_s = nan", "timeouts.stall_s"),
        ("[timeouts]\nstart_s = -1", "timeouts.start_s"),
        ("port = ", "TOML"),
        ("callback_allow = 'x'", "callback_allow"),
        ("[routes]\nfast = 'offline/rules'", "routes"),
    ):
        said = refusal(tmp_path, toml)
        assert named in said, toml
        assert "ringback.toml" in said or named.startswith("timeouts"), toml


@pytest.mark.parametrize("toml", ["a/b = 1", "[routes]\n'a/b' = ['offline/rules']", "[routes]\nfast = []"])
def test_routes_that_cannot_be(toml: str, tmp_path: Path) -> None:
    refusal(tmp_path, toml)


@pytest.mark.parametrize("target", ["offline", "offline/", "/rules", "nobody/model", ""])
def test_a_route_to_nowhere_is_refused_by_its_name(target: str, tmp_path: Path) -> None:
    assert refusal(tmp_path, f"[routes]\nfast = ['offline/rules', '{target}']").startswith("routes.fast: ")


def test_a_file_that_is_named_must_be_there_and_be_readable(tmp_path: Path) -> None:
    with pytest.raises(errors.ConfigurationError, match="RINGBACK_CONFIG"):
        settings.load({"RINGBACK_CONFIG": str(tmp_path / "nothing.toml")})
    broken = tmp_path / "broken.toml"
    broken.write_bytes(b'host = "\xff"')
    with pytest.raises(errors.ConfigurationError, match=r"broken\.toml"):
        settings.load({"RINGBACK_CONFIG": str(broken)})


def test_a_file_in_the_working_directory_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ringback.toml").write_text("port = 4711")
    monkeypatch.chdir(tmp_path)
    assert settings.load({}).port == 4711


def test_allowed_callbacks_are_networks_or_hosts(tmp_path: Path) -> None:
    found = load(tmp_path, RINGBACK_CALLBACK_ALLOW="10.1.2.3/8, 127.0.0.1, fd00::/8, Orders.Internal")
    assert found.callback_networks == tuple(map(ip_network, ("10.0.0.0/8", "127.0.0.1/32", "fd00::/8")))
    assert found.callback_hosts == {"orders.internal"}


@pytest.mark.parametrize("entry", ["10.0.0.0/33", "10.0.0.0/8/8", "https://orders.internal", "orders.internal:8080"])
def test_an_allowance_that_would_allow_nothing_is_refused(entry: str, tmp_path: Path) -> None:
    said = refusal(tmp_path, RINGBACK_CALLBACK_ALLOW=f"127.0.0.1,{entry}")
    assert said.startswith("RINGBACK_CALLBACK_ALLOW: ")
    assert entry in said


def test_the_broker_is_the_store_unless_it_is_named() -> None:
    assert Settings(redis_url="redis://a:1").broker == "redis://a:1"
    assert Settings(redis_url="redis://a:1", broker_url="amqp://b").broker == "amqp://b"
    assert Settings(redis_url="unix:///run/valkey?db=0").broker == "redis+socket:///run/valkey?db=0"


@pytest.mark.parametrize("provider", settings.SWITCHED_ON_BY)
def test_each_credential_switches_its_provider_on(provider: str, tmp_path: Path) -> None:
    for variable in settings.SWITCHED_ON_BY[provider]:
        assert load(tmp_path, **{variable: "x"}).providers == (provider, "offline")
        assert load(tmp_path, **{variable: ""}).providers == ("offline",)
        assert load(tmp_path, **{variable: "x", "RINGBACK_PROVIDERS": "fake"}).providers == ("fake",)


def test_a_credentials_file_switches_bedrock_on(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    assert load(tmp_path, AWS_SHARED_CREDENTIALS_FILE=str(file)).providers == ("offline",)
    file.write_text("[default]")
    assert load(tmp_path, AWS_SHARED_CREDENTIALS_FILE=str(file)).providers == ("bedrock", "offline")


def test_amazon_s_speech_is_on_where_its_credentials_are(tmp_path: Path) -> None:
    def services(**environ: str) -> tuple[str, str]:
        found = load(tmp_path, **environ)
        return found.tts, found.stt

    assert services() == services(AWS_BEARER_TOKEN_BEDROCK="x") == ("offline", "offline")
    assert services(AWS_PROFILE="x") == ("polly", "transcribe")
    assert services(AWS_ACCESS_KEY_ID="x", RINGBACK_STT="offline") == ("polly", "offline")
    file = tmp_path / "credentials"
    file.write_text("[default]")
    assert services(AWS_SHARED_CREDENTIALS_FILE=str(file)) == ("polly", "transcribe")


def test_recognition_in_batches_needs_a_bucket(tmp_path: Path) -> None:
    assert refusal(tmp_path, RINGBACK_STT="transcribe-batch").startswith("RINGBACK_S3_BUCKET: ")
    found = load(tmp_path, RINGBACK_STT="transcribe-batch", RINGBACK_S3_BUCKET="b")
    assert (found.stt, found.s3_bucket) == ("transcribe-batch", "b")


@pytest.mark.parametrize("url", ["http://x", "ws://", "x:1", "wss://x/y", "ws://u@x"])
def test_a_streaming_endpoint_is_a_websocket_s(url: str, tmp_path: Path) -> None:
    said = refusal(tmp_path, RINGBACK_TRANSCRIBE_STREAMING_URL=url)
    assert said.startswith("RINGBACK_TRANSCRIBE_STREAMING_URL: ")
