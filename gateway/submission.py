"""From the bytes of a request to a job that can be accepted, or to an error that names the field and the fix."""

import random
import re
import time
from typing import Any, TypeVar, get_args

import msgspec

from jobs import errors
from jobs.addresses import AddressPolicy
from jobs.job import METADATA_LIMIT, JobEvent, JobRequest, JobSpec, Priority, SlackCallback
from jobs.model import KNOWN_MODELS, PROVIDERS, split_model
from jobs.routes import Route
from jobs.settings import SWITCHED_ON_BY, Settings
from prompts import audio
from prompts.registry import JobType, Registry

T = TypeVar("T")
_request = msgspec.json.Decoder(JobRequest)
_any = msgspec.json.Decoder()
NESTING_LIMIT = 100
"""Arrays and objects within each other that `input` and `metadata` may have."""
_HALF_PAIR = re.compile(rb"\\u[dD][89abAB]..(?!\\u[dD][c-fC-F])")
_NAMES = {"priority": get_args(Priority), "events": tuple(JobEvent)}
"""What may be said in those fields that take names."""
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
        return decoded(body, _request)

    def detach(self, request: JobRequest) -> tuple[JobRequest, bytes | None]:
        """The request without the audio in its input, and that audio, if any: the job's record will not hold it.

        Raises `errors.InvalidRequest`, `errors.BodyTooLarge`.
        """
        job_type = self._prompts.get(request.type)
        if job_type.runner not in ("transcribe", "turn"):
            return request, None
        given = _part(request.input, "#/input")
        sent = given.get(audio.FIELD) if isinstance(given, dict) else None
        if not isinstance(sent, dict):
            return request, None
        for name in sent.keys() & {audio.STORED, "bytes", "media_type"}:
            raise errors.InvalidRequest.at(f"#/input/audio/{name}", "is told by Ringback; give base64 or url")
        if not isinstance(sent.get("base64"), str) or "url" in sent:
            return request, None
        if wrong := audio.problem(sent):
            raise errors.InvalidRequest.at("#/input/audio/base64", wrong[1])
        try:
            recording = audio.decoded(sent["base64"])
        except ValueError:
            reason = "must be base64 (RFC 4648, with its padding, without line breaks)"
            raise errors.InvalidRequest.at("#/input/audio/base64", reason) from None
        given[audio.FIELD] = self.stored(recording, "#/input/audio/base64")
        return msgspec.structs.replace(request, input=msgspec.Raw(msgspec.json.encode(given))), recording

    def stored(self, recording: bytes, pointer: str) -> dict[str, Any]:
        """What an input says of a recording that came along with it, at `pointer`.

        Raises `errors.InvalidRequest`, `errors.BodyTooLarge`.
        """
        if len(recording) > self._settings.max_audio_bytes:
            limit = self._settings.max_audio_bytes
            raise errors.BodyTooLarge.at(pointer, f"must be at most {limit} bytes of audio (is {len(recording)})")
        if why := audio.objection(recording[:16]):
            raise errors.InvalidRequest.at(pointer, why)
        return {audio.STORED: True, "media_type": audio.media_type_of(recording[:16]), "bytes": len(recording)}

    def specify(
        self,
        request: JobRequest,
        job_id: str,
        *,
        owner: str,
        recording: bool = False,
        session_id: str | None = None,
    ) -> JobSpec:
        """The job that `request` asks for, in that session; `recording`: its audio is kept beside it.

        Raises `errors.InvalidRequest`.
        """
        job_type = self._prompts.get(request.type)
        given = _part(request.input, "#/input")
        job_type.validate(given)
        _check_nesting(given, "#/input")
        for pointer, url in job_type.urls(given):
            if objection := self._policy.objection(url):
                raise errors.InvalidRequest.at(pointer, objection)
        metadata = json_object(request.metadata, "#/metadata", METADATA_LIMIT)
        self._check_callback(request)
        route = self._route(request, job_type)
        return JobSpec(
            id=job_id,
            type=request.type,
            created_ms=int(time.time() * 1000),
            prompt=job_type.ref,
            input=msgspec.Raw(_compact(request.input)),
            metadata=metadata,
            targets=route.targets,
            hedge=route.hedge,
            callback=request.callback,
            deadline=request.deadline,
            priority=request.priority,
            owner=owner,
            recording=recording,
            session_id=session_id,
        )

    def _check_callback(self, request: JobRequest) -> None:
        callback = request.callback
        if callback is None:
            return
        if sum(way is not msgspec.UNSET for way in (callback.url, callback.slack, callback.database)) != 1:
            raise errors.InvalidRequest.at("#/callback", "needs exactly one of url, slack and database")
        if callback.url is not msgspec.UNSET and (objection := self._policy.objection(callback.url)):
            raise errors.CallbackNotAllowed.at("#/callback/url", objection)
        if callback.slack is not msgspec.UNSET:
            self._check_slack(callback.slack)
        if callback.database is not msgspec.UNSET:
            self._check_name(callback.database, "database_url", "#/callback/database")

    def _check_slack(self, slack: SlackCallback) -> None:
        if (slack.webhook is None) == (slack.channel is None):
            raise errors.InvalidRequest.at("#/callback/slack", "needs exactly one of webhook and channel")
        if slack.webhook is not None:
            self._check_name(slack.webhook, "slack_webhook", "#/callback/slack/webhook")
        elif not any(destination.slack_token for destination in self._settings.destinations.values()):
            raise errors.UnknownDestination.at(
                "#/callback/slack/channel", "no destination here has a slack_token, which channels need; name a webhook"
            )

    def _check_name(self, name: str, kind: str, pointer: str) -> None:
        """`kind` is the field that such destinations have."""
        known = [known for known, destination in self._settings.destinations.items() if getattr(destination, kind)]
        if name not in known:
            choice = f"known: {', '.join(known)}" if known else "there is none here"
            raise errors.UnknownDestination.at(pointer, f"{name!r} is no destination with {kind}; {choice}")

    def _route(self, request: JobRequest, job_type: JobType) -> Route:
        """The targets to ask, in their order for this job; of a job that asks no model, the speech service."""
        if job_type.runner in ("speak", "transcribe"):
            for name in ("model", "fallbacks"):
                if getattr(request, name):
                    reason = f"jobs of type {job_type.name} ask no model; leave it out"
                    raise errors.InvalidRequest.at(f"#/{name}", reason)
            settings = self._settings
            return Route(targets=((settings.tts if job_type.runner == "speak" else settings.stt) or "offline",))
        first = request.model or job_type.model or self._settings.default_model
        route = self.resolve(first, "#/model")
        targets = _drawn(route)
        for position, name in enumerate(request.fallbacks):
            targets += _drawn(self.resolve(name, f"#/fallbacks/{position}"))
        # Once each: a fallback that repeats a target would only hammer it.
        return Route(targets=tuple(dict.fromkeys(targets)), hedge=route.hedge)

    def resolve(self, name: str, pointer: str) -> Route:
        """What `name`, which stands at `pointer`, leads to, without the targets whose provider is off here.

        Raises `errors.UnknownModel` and `errors.ProviderDisabled`.
        """
        name = self._settings.aliases.get(name, name)
        if name in self._settings.routes:
            route = Route.of(self._settings.routes[name])
            usable = [n for n, t in enumerate(route.targets) if split_model(t)[0] in self._settings.providers]
            if usable:
                return Route(
                    targets=tuple(route.targets[n] for n in usable),
                    weights=tuple(route.weights[n] for n in usable) if route.weights else (),
                    hedge=route.hedge,
                )
            raise errors.ProviderDisabled.at(pointer, f"no provider of route {name!r} is configured")
        provider, model = split_model(name)
        if provider not in PROVIDERS or not model:
            names = (*self._settings.routes, *self._settings.aliases)
            known = ", ".join((*names, *(f"{p}/…" for p in self._settings.providers)))
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
        return Route(targets=(name,))


def decoded(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """The request in `body`. Raises `errors.InvalidJson` and `errors.InvalidRequest`."""
    if not body.strip():
        raise errors.InvalidJson("The body is empty; send a JSON object.")
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise errors.InvalidJson(f"The body is not valid UTF-8 (byte {error.start}).") from error
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _invalid(error) from error
    except msgspec.DecodeError as error:
        half = " (it has one half of a surrogate pair, such as \\ud83d, which is no character)"
        why = f"{error}{half if _HALF_PAIR.search(body) else ''}"
        raise errors.InvalidJson(f"The body is not valid JSON: {why}.") from error
    except RecursionError as error:
        raise errors.InvalidJson("The body is nested too deeply.") from error


def _drawn(route: Route) -> tuple[str, ...]:
    """The route's targets in the order for one job: as they are, or drawn by weight, the heavier the sooner."""
    if not route.weights:
        return route.targets
    # Efraimidis and Spirakis: sorted by u^(1/w), a target comes first with the probability of its share of the weight.
    drawn = {t: random.random() ** (1 / w) for t, w in zip(route.targets, route.weights, strict=True)}  # noqa: S311
    return tuple(sorted(drawn, key=drawn.__getitem__, reverse=True))


def _compact(raw: msgspec.Raw) -> bytes:
    """The same JSON without white space; numbers and escapes stay as the caller wrote them."""
    return msgspec.json.format(bytes(raw), indent=-1)


def json_object(raw: msgspec.Raw, pointer: str, limit: int) -> msgspec.Raw:
    """What callers keep with a request, in compact form: an object of at most `limit` bytes that stands at `pointer`.

    Raises `errors.InvalidRequest`.
    """
    if not isinstance(value := _part(raw, pointer), dict):
        raise errors.InvalidRequest.at(pointer, "must be a JSON object")
    _check_nesting(value, pointer)
    compact = _compact(raw)
    if len(compact) > limit:
        raise errors.InvalidRequest.at(pointer, f"must be at most {limit} bytes of JSON (is {len(compact)})")
    return msgspec.Raw(compact)


def _part(raw: msgspec.Raw, pointer: str) -> Any:
    try:
        return _any.decode(raw)
    except msgspec.DecodeError as error:
        raise errors.InvalidRequest.at(pointer, f"is not valid JSON: {_what_and_where(error)[0]}") from error
    except RecursionError as error:
        raise _too_deep(pointer) from error


def _check_nesting(value: Any, pointer: str) -> None:
    """Raises `errors.InvalidRequest` for what somebody further down the road might not be able to read."""
    level = [value]
    for _ in range(NESTING_LIMIT + 1):
        containers = [item for item in level if isinstance(item, dict | list)]
        if not containers:
            return
        level = [part for item in containers for part in (item.values() if isinstance(item, dict) else item)]
    raise _too_deep(pointer)


def _too_deep(pointer: str) -> errors.InvalidRequest:
    return errors.InvalidRequest.at(pointer, f"must not be nested more than {NESTING_LIMIT} levels deep")


def _what_and_where(error: msgspec.DecodeError) -> tuple[str, str]:
    """The two parts of a msgspec message such as ``Expected `int`, got `str` - at `$.deadline.total_s` ``."""
    match = _PLACE.match(str(error))
    return (match["what"], match["path"] or "") if match else (str(error), "")


def _invalid(error: msgspec.ValidationError) -> errors.InvalidRequest:
    """What is wrong with the request's own fields, with a pointer."""
    what, path = _what_and_where(error)
    steps = re.sub(r"\[(\d+)\]", r".\1", path).split(".")
    if field := _FIELD.search(what):
        steps.append(field["name"])
        what = "is required" if "missing required" in what else "is not a known field"
    if what.startswith("Invalid enum value"):
        names = next(_NAMES[step] for step in reversed(steps) if step in _NAMES)
        what = f"must be one of {', '.join(names)}"
    return errors.InvalidRequest.at("#" + "/".join(steps), what)
