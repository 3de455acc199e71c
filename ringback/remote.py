"""A gateway as the shell's commands see it, over plain HTTP: submit a job, read it, read its events as they come."""

import http.client
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

import msgspec

from jobs import errors
from jobs import settings as configuration
from jobs.errors import FieldError
from ringback import address

_ANSWER_S = 30.0
_SILENCE_S = 40.0
"""An idle event stream has a comment every 15 s; one that is silent for so long is dead."""

_TEMPORARY = frozenset({429, 500, 502, 503, 504})


class Unreachable(errors.RingbackError):
    """The gateway cannot be reached."""

    code = "gateway_unreachable"
    retryable = True


class Refused(errors.RingbackError):
    """The gateway refused the request."""

    code = "refused"

    def __init__(self, detail: str, *, status: int, fields: tuple[FieldError, ...]) -> None:
        super().__init__(detail, errors=fields)
        self.answer_status = status

    @property
    def temporary(self) -> bool:
        """Whether the same request may well succeed a little later."""
        return self.answer_status in _TEMPORARY


class _Problem(msgspec.Struct, frozen=True, kw_only=True):
    title: str = ""
    detail: str = ""
    errors: tuple[FieldError, ...] = ()


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """One block of an event stream. A comment has nothing else."""

    id: str = ""
    event: str = ""
    data: dict[str, Any] = {}
    comment: str = ""


class Gateway:
    """One gateway, and how to reach it."""

    def __init__(self, url: str, key: str = "") -> None:
        """`key` is the API key, empty for none. Raises `errors.ConfigurationError` for what is no HTTP URL."""
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise errors.ConfigurationError(f"{url!r} is not the URL of a gateway, such as http://127.0.0.1:8000")
        if not key.isascii() or not key.isprintable():
            raise errors.ConfigurationError("RINGBACK_API_KEY holds characters that no API key has")
        self.url = url.rstrip("/")
        self._parts: SplitResult = parts
        self._key = key

    @classmethod
    def of(cls, url: str | None, environ: Mapping[str, str]) -> "Gateway":
        """The gateway at `url`, else at RINGBACK_URL, else at the host and port of the settings."""
        url = url or environ.get("RINGBACK_URL")
        if not url:
            url = address.url(configuration.load(environ))
        return cls(url, environ.get("RINGBACK_API_KEY", "").strip())

    def submit(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Submits a job and returns it. Raises `Unreachable` or `Refused`."""
        return self._document("POST", "/v1/jobs", msgspec.json.encode(body))

    def job(self, job_id: str) -> dict[str, Any]:
        """The job as it is now. Raises `Unreachable` or `Refused`."""
        return self._document("GET", _job_path(job_id))

    def events(self, job_id: str, after: str = "") -> Iterator[Frame]:
        """The job's events after that id, and the stream's comments, until the gateway ends the stream.

        Raises `Unreachable`, also when the connection breaks, or `Refused`.
        """
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": after} if after else {})
        with self._request("GET", _job_path(job_id) + "/events", headers, timeout=_SILENCE_S) as response:
            try:
                yield from _frames(response)
            except msgspec.DecodeError as error:
                raise Unreachable(f"What answers at {self.url} is not Ringback") from error

    def _document(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        with self._request(method, path, headers, body, timeout=_ANSWER_S) as response:
            try:
                document = msgspec.json.decode(response.read())
            except msgspec.DecodeError:
                document = None
        if not isinstance(document, dict) or not isinstance(document.get("id"), str):
            raise Unreachable(f"What answers at {self.url} is not Ringback")
        return document

    @contextmanager
    def _request(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None = None, *, timeout: float
    ) -> Iterator[http.client.HTTPResponse]:
        connect = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        connection = connect(self._parts.hostname or "", self._parts.port, timeout=timeout)
        if self._key:
            headers = headers | {"Authorization": f"Bearer {self._key}"}
        try:
            connection.request(method, self._parts.path.rstrip("/") + path, body, headers)
            response = connection.getresponse()
            if response.status >= 300:
                raise self._refusal(response)
            yield response
        except socket.gaierror as error:
            raise Unreachable(f"No gateway at {self.url}: {error.strerror}") from error
        except ConnectionRefusedError as error:
            raise Unreachable(
                f"No gateway answers at {self.url}; start one with `ringback up`, or name another with --url"
            ) from error
        except TimeoutError as error:
            raise Unreachable(f"The gateway at {self.url} did not answer within {timeout:.0f} s") from error
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(f"The connection to {self.url} broke: {error}") from error
        finally:
            connection.close()

    def _refusal(self, response: http.client.HTTPResponse) -> Refused:
        try:
            problem = msgspec.json.decode(response.read(), type=_Problem)
        except msgspec.DecodeError:
            problem = _Problem()
        detail = problem.detail or problem.title or f"{self.url} answered {response.status} {response.reason}"
        return Refused(detail, status=response.status, fields=problem.errors)


def _job_path(job_id: str) -> str:
    return "/v1/jobs/" + quote(job_id, safe="")


def _frames(response: http.client.HTTPResponse) -> Iterator[Frame]:
    """Parses an event stream (https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream).

    A frame cut off by the end of the stream is dropped. Raises `msgspec.DecodeError` for data that are no JSON object.
    """
    fields: dict[str, list[str]] = {}
    while line := response.readline():
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if text.startswith(":"):
            yield Frame(comment=text[1:].strip())
        elif text:
            name, _, value = text.partition(":")
            fields.setdefault(name, []).append(value.removeprefix(" "))
        elif fields:
            yield Frame(
                id=fields.get("id", [""])[-1],
                event=fields.get("event", ["message"])[-1],
                data=msgspec.json.decode("\n".join(fields.get("data", ["{}"])), type=dict[str, Any]),
            )
            fields = {}
