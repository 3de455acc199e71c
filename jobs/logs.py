"""Structured logs: one line per event on stderr, ours and every library's through the same renderer.

The rule for what goes in: ids, names, sizes, counts, durations and codes. Never an input, an output, a prompt, a
header, a secret, or a URL with its query.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import msgspec

from jobs.settings import Settings

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger


def configure(settings: Settings, role: str) -> None:
    """Sends this process's logs to stderr as `settings.log_format`, each with `timestamp`, `level`, `role` and `pid`.

    Call it before anything else imports structlog. Ours are logged from `settings.log_level` up, libraries' from
    warning up whatever the level, since vendor SDKs tell requests and headers below it.
    """
    with _unseen("rich"):
        import structlog

    def origin(_: "WrappedLogger", __: str, event: "EventDict") -> "EventDict":
        event["role"] = role
        event["pid"] = os.getpid()
        return event

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        origin,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if settings.log_format == "json":
        render: list[Processor] = [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_json),
        ]
    elif sys.stderr.isatty():
        # Plain tracebacks: the prettier ones show local variables, which hold content.
        render = [
            structlog.dev.ConsoleRenderer(
                colors=not os.environ.get("NO_COLOR"), exception_formatter=structlog.dev.plain_traceback
            ),
        ]
    else:
        render = [
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ]
    level = getattr(logging, settings.log_level.upper())
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _Stderr(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))
    logging.captureWarnings(True)


def _json(event: object, **_: object) -> str:
    return msgspec.json.encode(event, enc_hook=repr).decode()


class _Stderr:
    """Writes lines to stderr, whole ones only; a job must not fail because nobody reads them any more."""

    def msg(self, line: str) -> None:
        """One line."""
        with suppress(OSError, ValueError):
            sys.stderr.write(line + "\n")

    debug = info = warning = error = critical = exception = msg


@contextmanager
def _unseen(package: str) -> Iterator[None]:
    """Makes `package` look not installed: structlog would import all of rich, 5 MB and 90 ms, for nothing here."""
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]  # the documented way to block an import
    try:
        yield
    finally:
        del sys.modules[package]
