"""Structured logs: one line per event on stderr, ours and every library's through the same renderer.

The rule for what goes in: ids, names, sizes, counts, durations and codes. Never an input, an output, a prompt, a
header, a secret, or a URL with its query.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from jobs.settings import Settings

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

OURS = "ringback"
"""The one logger under which all our own events are."""


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
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ]
    else:
        colors = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
        # Plain tracebacks: the prettier ones show local variables, which hold content.
        render = [
            structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback),
        ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    level = getattr(logging, settings.log_level.upper())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))
    logging.getLogger(OURS).setLevel(level)
    logging.captureWarnings(True)
    # Ours pass through logging too, because its handlers swallow a broken stderr; a job must not fail over a log line.
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: logging.getLogger(OURS),
        cache_logger_on_first_use=True,
    )


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
