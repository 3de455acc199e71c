"""From the bytes of a request to a job that can be accepted, or to an error that names the field and the fix."""

import re
import time
from typing import Any

import msgspec

from jobs import errors
from jobs.addresses import AddressPolicy
from jobs.job import METADATA_LIMIT, JobRequest, JobSpec
from jobs.model import KNOWN_MODELS, split_model
from jobs.settings import PROVIDERS, SWITCHED_ON_BY, Settings
from prompts.registry import JobType, Registry

_request = msgspec.json.Decoder(JobRequest)
_any = msgspec.json.Decoder()
_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<path>[^`]*)`)?$", re.DOTALL)
_FIELD = re.compile(r"(?:missing required|unknown) field `(?P<name>[^`]+)`")


class Submission:
    """Turns requests into job specifications."""

    def __init__(self, settings: Settings, prompts: Registry) -> None:
        """`prompts` are the job types; `settings` say which models and callbacks are possible."""
        self._settings = settings
        self._prompts = prompts
        self._policy = AddressPolicy.of(settings)

    def read(self, body: bytes) -> JobRequest:
        """The request in `body`. Raises `errors.InvalidJson` and `errors.InvalidRequest`."""
        if not body.strip():
            raise errors.InvalidJson("The body is empty; send a JSON object with `type` and `input`.")
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise errors.InvalidJson(f"The body is not valid UTF-8 (byte {error.start}).") from error
        try:
            return _request.decode(body)
        except msgspec.ValidationError as error:
            raise _invalid(str(error)) from error
        except msgspec.DecodeError as error:
            raise errors.InvalidJson(f"The body is not valid JSON: {error}.") from error
        except RecursionError as error:
            raise errors.InvalidJson("The body is nested too deeply.") from error

    def specify(self, request: JobRequest, job_id: str, *, owner: str) -> JobSpec:
        """The job that `request` asks for. Raises `errors.InvalidRequest`."""
        job_type = self._prompts.get(request.type)
        job_type.validate(_part(request.input, "#/input"))
        metadata = _compact(request.metadata)
        if not metadata.startswith(b"{"):
            raise errors.InvalidRequest.at("#/metadata", "must be a JSON object")
        _part(request.metadata, "#/metadata")
        if len(metadata) > METADATA_LIMIT:
            detail = f"must be at most {METADATA_LIMIT} bytes of JSON (is {len(metadata)})"
            raise errors.InvalidRequest.at("#/metadata", detail)
        self._check_callback(request)
        return JobSpec(
            id=job_id,
            type=request.type,
            created_ms=int(time.time() * 1000),
            prompt=job_type.ref,
            input=msgspec.Raw(_compact(request.input)),
            metadata=msgspec.Raw(metadata),
            targets=self._targets(request, job_type),
            callback=request.callback,
            deadline=request.deadline,
            priority=request.priority,
            owner=owner,
        )

    def _check_callback(self, request: JobRequest) -> None:
        if request.callback is None:
            return
        if objection := self._policy.objection(request.callback.url):
            raise errors.CallbackNotAllowed.at("#/callback/url", objection)
        if not request.callback.events:
            raise errors.InvalidRequest.at("#/callback/events", "must name at least one event, or be left out")

    def _targets(self, request: JobRequest, job_type: JobType) -> tuple[str, ...]:
        first = request.model or job_type.model or self._settings.default_model
        targets = self._resolve(first, "#/model")
        for position, name in enumerate(request.fallbacks):
            targets += self._resolve(name, f"#/fallbacks/{position}")
        return targets

    def _resolve(self, name: str, pointer: str) -> tuple[str, ...]:
        if name in self._settings.routes:
            usable = tuple(t for t in self._settings.routes[name] if split_model(t)[0] in self._settings.providers)
            if usable:
                return usable
            raise errors.ProviderDisabled.at(pointer, f"no provider of route {name!r} is configured")
        provider, model = split_model(name)
        if provider not in PROVIDERS or not model:
            known = ", ".join((*self._settings.routes, *(f"{p}/…" for p in self._settings.providers)))
            raise errors.UnknownModel.at(
                pointer, f"{name[:80]!r} is neither a route nor `provider/model`; known: {known}"
            )
        if provider not in self._settings.providers:
            switches = " or ".join(SWITCHED_ON_BY.get(provider, ())[:2])
            hint = f"set {switches}" if switches else "add it to RINGBACK_PROVIDERS"
            raise errors.ProviderDisabled.at(pointer, f"provider {provider!r} is not configured here; {hint}")
        known_models = KNOWN_MODELS.get(provider)
        if known_models and model not in known_models:
            choice = ", ".join(f"{provider}/{m}" for m in known_models)
            raise errors.UnknownModel.at(pointer, f"{name[:80]!r} does not exist; known: {choice}")
        return (name,)


def _compact(raw: msgspec.Raw) -> bytes:
    """The same JSON without white space; numbers and escapes stay as the caller wrote them."""
    return msgspec.json.format(bytes(raw), indent=-1)


def _part(raw: msgspec.Raw, pointer: str) -> Any:
    try:
        return _any.decode(raw)
    except msgspec.DecodeError as error:
        raise errors.InvalidRequest.at(pointer, f"is not valid JSON: {error}") from error
    except RecursionError as error:
        raise errors.InvalidRequest.at(pointer, "is nested too deeply") from error


def _invalid(message: str) -> errors.InvalidRequest:
    """A msgspec message such as ``Expected `int`, got `str` - at `$.deadline.total_s` `` as an error with a pointer."""
    match = _PLACE.match(message)
    what, path = (match["what"], match["path"] or "") if match else (message, "")
    pointer = "#" + re.sub(r"\[(\d+)\]", r"/\1", path).replace(".", "/")
    if field := _FIELD.search(what):
        pointer += f"/{field['name']}"
        what = "is required" if "missing required" in what else "is not a known field"
    return errors.InvalidRequest.at(pointer, what)
