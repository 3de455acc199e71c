"""The command line. Each command imports what it needs only when it runs, so that every one of them starts fast."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from jobs import errors
from jobs import settings as configuration


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted.

    A failure is told in words on stderr; a role that cannot run with its configuration exits with 78 (EX_CONFIG).
    """
    for stream in (sys.stdout, sys.stderr):
        # Whatever the locale says: answers are UTF-8, and Korean must come out of a C locale too.
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    args = parser().parse_args(argv)
    try:
        code: int = args.run(args)
        return code
    except errors.RingbackError as error:
        _explain(error)
        return os.EX_CONFIG if args.role and isinstance(error, errors.ConfigurationError) else 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone. Python would fail once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if args.role:
            raise
        print(f"ringback: {error}", file=sys.stderr)
        return 1


def _explain(error: errors.RingbackError) -> None:
    print(f"ringback: {error.detail}", file=sys.stderr)
    for field in error.errors:
        if field.detail != error.detail or len(error.errors) > 1:
            print(f"  {field.pointer}: {field.detail}", file=sys.stderr)
        else:
            print(f"  at {field.pointer}", file=sys.stderr)


def _up(args: argparse.Namespace) -> int:
    from ringback import up

    return up.up(host=args.host, port=args.port, directory=args.data_dir)


def _gateway(_: argparse.Namespace) -> int:
    settings = _role("gateway")
    from gateway import app

    app.run(settings)
    return 0


def _worker(_: argparse.Namespace) -> int:
    settings = _role("worker")
    from workers import app

    app.run(settings)
    return 0


def _role(role: str) -> configuration.Settings:
    from jobs import logs

    settings = configuration.load()
    logs.configure(settings, role)
    return settings


def _submit(args: argparse.Namespace) -> int:
    from ringback import follow, remote

    gateway = remote.Gateway.of(args.url, os.environ)
    body: dict[str, Any] = {"type": args.type, "input": _input(args)}
    if args.model:
        body["model"] = args.model
    if args.callback:
        body["callback"] = {"url": args.callback}
    if args.metadata:
        body["metadata"] = _json(args.metadata, "--metadata")
    job = gateway.submit(body)
    if args.watch:
        print(f"ringback: {job['id']}", file=sys.stderr, flush=True)
        return follow.follow(gateway, job["id"])
    print(job["id"])
    return 0


def _watch(args: argparse.Namespace) -> int:
    from ringback import follow, remote

    return follow.follow(remote.Gateway.of(args.url, os.environ), args.job_id)


def _doctor(args: argparse.Namespace) -> int:
    from ringback import doctor

    return doctor.examine(models=args.model)


def _destinations(args: argparse.Namespace) -> int:
    from ringback import destinations

    return destinations.create_table(args.name) if args.action == "init" else destinations.show()


def _key(args: argparse.Namespace) -> int:
    from ringback import keys

    match args.action:
        case "create":
            return keys.create(
                args.named if args.name is None else args.name,
                scopes=args.scope,
                types=args.types,
                callback_hosts=args.callback_hosts,
                rate=args.rate,
                tokens_per_day=args.tokens_per_day,
                as_json=args.json,
            )
        case "rotate":
            return keys.rotate(args.id, overlap_s=args.overlap, as_json=args.json)
        case "revoke":
            return keys.revoke(args.id)
        case _:
            return keys.show(as_json=args.json)


def _input(args: argparse.Namespace) -> Any:
    """The job's input from --input, --text or both; `-` reads the value from stdin."""
    if args.input == "-" and args.text == "-":
        raise errors.InvalidRequest("Only one of --input and --text can be read from stdin")
    given = {} if args.input is None else _json(_value(args.input), "--input")
    if args.text is None:
        return given
    if not isinstance(given, dict):
        raise errors.InvalidRequest("--text goes into --input, which is not a JSON object")
    return given | {"text": _value(args.text)}


def _value(argument: str) -> str:
    if argument != "-":
        return argument
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise errors.InvalidRequest(f"stdin is not valid UTF-8 at byte {error.start}") from error


def _json(text: str, option: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise errors.InvalidRequest(f"{option} is not valid JSON: {error}") from error


def _utf8(argument: str) -> str:
    """An argument as it was typed, whatever Python took the locale's encoding to be."""
    try:
        return os.fsencode(argument).decode("utf-8")
    except UnicodeError:
        raise argparse.ArgumentTypeError("not valid UTF-8") from None


def _port(argument: str) -> int:
    if not argument.isdigit() or int(argument) > 65_535:
        raise argparse.ArgumentTypeError("a number from 0 to 65535")
    return int(argument)


def _names(argument: str) -> list[str]:
    """Names separated by commas; at least one."""
    names = [name.strip() for name in _utf8(argument).split(",")]
    if not all(names):
        raise argparse.ArgumentTypeError("names separated by commas")
    return names


def _whole_number(argument: str) -> int:
    if not argument.isascii() or not argument.isdigit() or not 0 < int(argument) < 2**53:
        raise argparse.ArgumentTypeError("a whole number greater than 0")
    return int(argument)


def _seconds(argument: str) -> int:
    return 0 if argument == "0" else _whole_number(argument)


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import version

        print(f"ringback {version('ringback')}")
        parser.exit()


def parser() -> argparse.ArgumentParser:
    """All commands and their options; the parsed `run` is the function of the command."""
    root = argparse.ArgumentParser(prog="ringback", description="The LLM gateway that calls you back.")
    root.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    root.set_defaults(role=False)
    commands = root.add_subparsers(metavar="COMMAND", required=True)

    up = commands.add_parser("up", help="run store, worker and gateway on this machine")
    up.add_argument("--host", help="address to listen on (default: RINGBACK_HOST, else 127.0.0.1)")
    up.add_argument("--port", type=_port, help="port, 0 for any free one (default: RINGBACK_PORT, else 8000)")
    up.add_argument("--data-dir", type=Path, help="where data are kept (default: RINGBACK_DATA_DIR, else .ringback)")
    up.set_defaults(run=_up)

    gateway = commands.add_parser("gateway", help="run one gateway; configured by the environment")
    gateway.set_defaults(run=_gateway, role=True)
    worker = commands.add_parser("worker", help="run one worker; configured by the environment")
    worker.set_defaults(run=_worker, role=True)

    remote = argparse.ArgumentParser(add_help=False)
    remote.add_argument("--url", type=_utf8, help="the gateway (default: RINGBACK_URL, else the configured host, port)")
    submit = commands.add_parser(
        "submit", parents=[remote], help="submit a job; prints its id, or with --watch its result"
    )
    submit.add_argument("type", metavar="TYPE", type=_utf8, help="job type, e.g. soften")
    submit.add_argument("--input", metavar="JSON", type=_utf8, help="the job's input; - reads it from stdin")
    submit.add_argument("--text", metavar="T", type=_utf8, help="the input's field `text`; - reads it from stdin")
    submit.add_argument("--model", metavar="M", type=_utf8, help="a route, or provider/model")
    submit.add_argument("--callback", metavar="URL", type=_utf8, help="called back when the job has ended")
    submit.add_argument("--metadata", metavar="JSON", type=_utf8, help="comes back unchanged with the job")
    submit.add_argument("--watch", action="store_true", help="follow the job to its end")
    submit.set_defaults(run=_submit)
    watch = commands.add_parser("watch", parents=[remote], help="follow a job to its end; prints its result")
    watch.add_argument("job_id", metavar="JOB_ID", type=_utf8)
    watch.set_defaults(run=_watch)

    destinations = commands.add_parser("destinations", help="show destinations of callbacks, and make their tables")
    actions = destinations.add_subparsers(dest="action", required=True)
    init = actions.add_parser("init", help="make the table for results in a database, unless it is there")
    init.add_argument("name", metavar="NAME", type=_utf8, help="the destination's name in ringback.toml")
    for command in (init, actions.add_parser("list", help="show name, kind and place of every destination")):
        command.set_defaults(run=_destinations)

    doctor = commands.add_parser("doctor", help="check configuration, store, broker, worker and providers")
    doctor.add_argument(
        "--model", metavar="M", action="append", default=[], type=_utf8, help="provider/model to try; may be repeated"
    )
    doctor.set_defaults(run=_doctor)

    _add_keys(commands.add_parser("keys", help="make, list, rotate and revoke API keys"))
    return root


def _add_keys(keys: argparse.ArgumentParser) -> None:
    actions = keys.add_subparsers(dest="action", required=True)
    create = actions.add_parser("create", help="make a key and print it; it cannot be shown again")
    name = create.add_mutually_exclusive_group(required=True)
    name.add_argument("name", metavar="NAME", nargs="?", type=_utf8, help="who it is for")
    name.add_argument("--name", dest="named", metavar="NAME", type=_utf8, help="the same")
    create.add_argument(
        "--scope",
        metavar="A,B",
        type=_names,
        default=[],
        help="what it may do: jobs:read, jobs:write, deliveries:write (these three), admin (everything, of every key)",
    )
    create.add_argument("--types", metavar="A,B", type=_names, default=[], help="job types that it may submit (all)")
    create.add_argument(
        "--callback-hosts", metavar="A,B", type=_names, default=[], help="hosts that its jobs may call back (all)"
    )
    create.add_argument("--rate", metavar="N/s|N/min", type=_utf8, help="requests that it may make (any)")
    create.add_argument(
        "--tokens-per-day", metavar="N", type=_whole_number, help="tokens that its jobs may use in a UTC day (any)"
    )
    rotate = actions.add_parser("rotate", help="give a key a new secret and print it")
    rotate.add_argument(
        "--overlap", metavar="S", type=_seconds, default=86_400, help="seconds for which the old one works on (86400)"
    )
    revoke = actions.add_parser("revoke", help="make a key invalid at once")
    for command in (rotate, revoke):
        command.add_argument("id", metavar="ID", type=_utf8)
    listing = actions.add_parser("list", help="show every key and what it may do")
    for command in (create, rotate, listing):
        command.add_argument("--json", action="store_true", help="print JSON")
    for command in (create, rotate, revoke, listing):
        command.set_defaults(run=_key)
