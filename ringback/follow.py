"""Follows a job to its end: its text to stdout as it comes, all else to stderr, over any number of connections."""

import os
import stat
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

import msgspec

from jobs import errors
from jobs.event import TERMINAL_NAMES
from jobs.job import TERMINAL
from ringback.remote import Frame, Gateway, Refused, Unreachable

_TRIES = 10
"""Connections in a row that bring nothing before we give up; with the pauses between them half a minute."""

_GONE = 410
_POLL_S = 1.0


class Lost(errors.RingbackError):
    """The job could not be followed to its end."""

    code = "lost"


def follow(gateway: Gateway, job_id: str, *, sleep: Callable[[float], None] = time.sleep) -> int:
    """Prints the job's result; returns 0 if the job succeeded, else 1.

    Raises `Lost` when the gateway stays away too long, `remote.Refused` for what trying again cannot mend.
    """
    screen = _Screen(sys.stdout, sys.stderr)
    last_id = ""
    failures = 0
    while True:
        reason = "the gateway ends the stream again and again"
        try:
            for frame in gateway.events(job_id, last_id):
                last_id = frame.id or last_id
                if frame.comment != "reconnect":
                    failures = 0
                if screen.show(frame):
                    return screen.end(frame.data)
        except Unreachable as error:
            reason = error.detail
        except Refused as refused:
            if refused.answer_status == _GONE:
                return screen.end(_ended(gateway, job_id, sleep))
            if not refused.temporary:
                raise
            reason = refused.detail
        failures += 1
        if failures > _TRIES:
            raise Lost(f"{reason}; the job goes on: ringback watch {job_id}")
        sleep(min(0.2 * 2.0 ** (failures - 1), 5.0))


def _ended(gateway: Gateway, job_id: str, sleep: Callable[[float], None]) -> dict[str, Any]:
    """The job once it has ended, for one whose events are no longer kept."""
    while True:
        job = gateway.job(job_id)
        if job.get("status") in TERMINAL:
            return job
        sleep(_POLL_S)


class _Screen:
    def __init__(self, out: TextIO, err: TextIO) -> None:
        self._out = out
        self._err = err
        # Text that a reset makes void can be marked so for someone who reads along, but not taken back out of a file.
        self._live = not _is_file(out)
        self._in_text = False

    def show(self, frame: Frame) -> bool:
        """Shows one event; whether it was the job's last."""
        if frame.event in TERMINAL_NAMES:
            return True
        data = frame.data
        match frame.event:
            case "text.delta" if self._live:
                self._out.write(data.get("text", ""))
                self._out.flush()
                self._in_text = True
            case "job.started":
                self._void()
                self._say(f"{data.get('model', 'started')}, attempt {data.get('attempt', 1)}")
            case "stream.reset":
                self._void()
                self._say(f"starting again on {data.get('model')}: {data.get('reason')}")
            case _:
                pass
        return False

    def end(self, job: dict[str, Any]) -> int:
        """Shows how the job ended; returns 0 if it succeeded, else 1."""
        status = job.get("status")
        if self._in_text:
            self._out.write("\n")
        elif status == "succeeded":
            self._out.write(_result(job.get("output")) + "\n")
        self._out.flush()
        if status == "succeeded":
            return 0
        error = job.get("error") or {}
        self._say(f"{job.get('id')} {status}" + (f": {error.get('message')} ({error.get('code')})" if error else ""))
        return 1

    def _void(self) -> None:
        if self._in_text:
            self._out.write("\n")
            self._out.flush()
            self._say("the text so far is void")
            self._in_text = False

    def _say(self, line: str) -> None:
        print(f"ringback: {line}", file=self._err, flush=True)


def _result(output: Any) -> str:
    """The output's text if that is all there is or what it is about, else the output as JSON."""
    if isinstance(output, dict):
        only = next(iter(output.values())) if len(output) == 1 else output.get("text")
        if isinstance(only, str):
            return only
    return msgspec.json.format(msgspec.json.encode(output), indent=2).decode("utf-8")


def _is_file(stream: TextIO) -> bool:
    try:
        return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):
        return False
