"""Dockerfile and docker-compose.yml against the code they run, since nothing here can run them."""

import re
import shlex
import tomllib
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs.settings import Settings
from ringback import cli, embedded

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ROLES = ("gateway", "worker")


def instructions(keyword: str) -> list[str]:
    """The arguments of every such instruction of the Dockerfile."""
    return re.findall(rf"^{keyword}\s+(.*)$", DOCKERFILE, re.MULTILINE)


def environment() -> dict[str, str]:
    """What the Dockerfile sets for every role."""
    return dict(pair.split("=", 1) for line in instructions("ENV") for pair in shlex.split(line))


def seconds(duration: str) -> float:
    """A compose duration in seconds."""
    match = re.fullmatch(r"(\d+)s", duration)
    assert match, duration
    return float(match[1])


def test_every_variable_is_a_setting() -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8") + DOCKERFILE
    named = set(re.findall(r"\bRINGBACK_([A-Z0-9_]+)", text))
    assert named
    assert {name.lower() for name in named} <= set(Settings.__struct_fields__)


@pytest.mark.parametrize("role", ROLES)
def test_each_role_is_a_command_and_finds_the_store(role: str) -> None:
    service = COMPOSE["services"][role]
    assert instructions("ENTRYPOINT") == ['["ringback"]']
    assert cli.parser().parse_args(shlex.split(service["command"])).role
    host, port = re.fullmatch(r"redis://(\w+):(\d+)/0", service["environment"]["RINGBACK_REDIS_URL"]).groups()  # type: ignore[union-attr]
    assert host in COMPOSE["services"]
    assert port == "6379"
    assert service["depends_on"] == {host: {"condition": "service_healthy"}}


def test_the_commands_in_its_head_exist() -> None:
    head = (ROOT / "docker-compose.yml").read_text(encoding="utf-8").partition("\nname:")[0]
    (command,) = re.findall(r"run --rm gateway (.*)", head)
    assert cli.parser().parse_args(shlex.split(command)).run


def test_the_store_keeps_jobs_as_the_embedded_one_does() -> None:
    words = shlex.split(COMPOSE["services"]["valkey"]["command"])
    assert words[0] == "valkey-server"
    assert tuple(words[1:]) == embedded.flags()
    (volume,) = COMPOSE["services"]["valkey"]["volumes"]
    name, _, path = volume.partition(":")
    assert name in COMPOSE["volumes"]
    assert path == "/data"  # where the image's server keeps its files
    assert "ports" not in COMPOSE["services"]["valkey"]


def test_keys_are_required_and_the_secrets_must_be_given() -> None:
    for role in ROLES:
        variables = COMPOSE["services"][role]["environment"]
        assert variables["RINGBACK_API_KEYS"] == "${RINGBACK_API_KEYS:-required}"
        for secret in ("RINGBACK_WEBHOOK_SECRET", "RINGBACK_KEY_SECRET"):
            assert variables[secret].startswith("${" + secret + ":?")


def test_the_published_port_is_the_one_it_listens_on() -> None:
    port = environment()["RINGBACK_PORT"]
    assert COMPOSE["services"]["gateway"]["ports"] == [f"{port}:{port}"]
    assert instructions("EXPOSE") == [port]
    assert environment()["RINGBACK_HOST"] == "0.0.0.0"
    assert "/health/ready" in instructions("HEALTHCHECK")[0]


def test_there_is_time_to_drain() -> None:
    for role in ROLES:
        assert seconds(COMPOSE["services"][role]["stop_grace_period"]) >= Settings().drain_s + 10


def test_everything_is_started_again() -> None:
    assert {service["restart"] for service in COMPOSE["services"].values()} == {"unless-stopped"}


def test_what_the_image_is_made_of_exists_and_is_complete() -> None:
    sources = {source for line in instructions("COPY") if "--from" not in line for source in line.split()[:-1]}
    assert sources
    assert all((ROOT / source).exists() for source in sources)
    assert set(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) <= sources
    assert {"pyproject.toml", PROJECT["project"]["readme"], *PROJECT["project"]["license-files"]} <= sources
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert sources == allowed


def test_its_python_is_one_we_support() -> None:
    (version,) = {tuple(map(int, line.partition(":")[2].partition("-")[0].split("."))) for line in instructions("FROM")}
    minimum = tuple(map(int, PROJECT["project"]["requires-python"].removeprefix(">=").split(".")))
    assert version >= minimum


def test_it_does_not_run_as_root() -> None:
    (user,) = instructions("USER")
    assert re.search(rf"useradd .*\b{user}\b", DOCKERFILE)


def test_the_image_has_what_celery_needs_to_speak_to_redis() -> None:
    """kombu names it only in an extra; a development environment has it by chance, the image only by the lock."""
    needs = [line for line in requires("kombu") or () if "extra == 'redis'" in line.replace('"', "'")]
    assert needs
    locked = re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements" / "run.txt").read_text(), re.MULTILINE)
    assert {re.split(r"[^a-z0-9-]", line)[0] for line in needs} <= set(locked)


def test_the_roles_share_the_data_directory() -> None:
    shared = {tuple(COMPOSE["services"][role]["volumes"]) for role in ROLES}
    assert shared == {(f"ringback-data:{environment()['RINGBACK_DATA_DIR']}",)}
    assert "ringback-data" in COMPOSE["volumes"]
