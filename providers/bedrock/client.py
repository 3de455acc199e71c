"""`BedrockService`: Converse through a client of boto3 for each region."""

from collections.abc import AsyncIterator, Generator
from contextlib import closing, suppress
from typing import Any

import msgspec

from amazon import bridge
from amazon.clients import Clients
from amazon.failures import Failure
from providers import errors, profiles
from providers.bedrock import mapping
from providers.bedrock.errors import translated
from providers.bedrock.mapping import PROVIDER
from providers.service import GRACE_S, Answer, Ask, Capabilities, Delta, Metered

READ_S = 900.0
"""Seconds of silence after which a thread gives up by itself; the limits of jobs are far below."""
CALLS = 1024
"""Calls at once, each with a thread and a connection while it lasts."""
_SERVICE = "bedrock-runtime"
_NOT_STREAMED = "in streaming mode"
"""Said of a model (Llama) that calls tools, but not in a stream: "This model doesn't support tool use in …"."""
_ENDS_EARLY = (errors.StreamInterrupted, errors.Stalled, errors.MalformedAnswer)


class BedrockService:
    """Bedrock's Converse, with the credentials, profile, region and endpoint that boto3 finds; `AWS_REGION` too.

    `<model>@<region>` asks the model in that region, with the same credentials.
    """

    name = PROVIDER

    def __init__(self) -> None:
        self._amazon = Clients(calls=CALLS, read_s=READ_S, prepare=_refuse_cut_bodies)
        self._whole_with_tools: set[str] = set()
        """Models that call tools only in whole answers, as far as this has turned out."""

    def capabilities(self, model: str) -> Capabilities:
        """See `AIService`."""
        return profiles.of(f"{PROVIDER}/{split_region(model)[0]}")

    def region(self, model: str) -> str:
        """See `AIService`. That of a profile is known once a first call has been made."""
        _, named = split_region(model)
        return named or self._amazon.region(_SERVICE)

    async def generate(self, ask: Ask) -> Answer:
        """See `AIService`."""
        return await self._amazon.run(lambda: self._converse(ask))

    def stream(self, ask: Ask) -> AsyncIterator[Delta | Metered | Answer]:
        """See `AIService`."""
        return self._amazon.iterate(lambda: self._converse_stream(ask))

    async def warm_up(self) -> None:
        """See `AIService`."""

        def work() -> None:
            with translated():
                self._amazon.client(_SERVICE)

        await self._amazon.run(work)

    async def aclose(self) -> None:
        """See `AIService`."""
        await self._amazon.aclose()

    def _converse(self, ask: Ask) -> Answer:
        model, region = split_region(ask.model)
        ask = msgspec.structs.replace(ask, model=model)
        reader, request = mapping.AnswerReader(ask), mapping.request(ask)
        with translated(ask):
            response = self._client(region).converse(**request)
        reader.read_whole(response)
        return reader.answer()

    def _converse_stream(self, ask: Ask) -> Generator[Delta | Metered | Answer, None, None]:
        model, region = split_region(ask.model)
        named = msgspec.structs.replace(ask, model=model)
        reader, request = mapping.AnswerReader(named), mapping.request(named)
        with translated(ask):
            events = self._events(named, request, region)
            if events is None:
                answer = self._converse(ask)
                if answer.text:
                    yield Delta(answer.text)
                yield answer
                return
            with closing(events):
                for event in events:
                    if text := reader.read(event):
                        yield Delta(text)
                    elif reader.complete:
                        break
                if reader.complete:
                    _finish(events, reader, ask)
        yield reader.answer()

    def _events(self, ask: Ask, request: dict[str, Any], region: str) -> Any:
        """The stream of an answer; `None` if the model gives this one only as a whole."""
        if ask.tools and ask.model in self._whole_with_tools:
            return None
        client = self._client(region)
        try:
            return client.converse_stream(**request)["stream"]
        except client.exceptions.ValidationException as refusal:
            if not ask.tools or _NOT_STREAMED not in str(refusal):
                raise
            self._whole_with_tools.add(ask.model)
            return None

    def _client(self, region: str) -> Any:
        try:
            return self._amazon.client(_SERVICE, region)
        except Failure as failure:
            if not region:
                raise
            raise errors.ModelNotFound(f"{region!r}, after the model's @, is no region", provider=PROVIDER) from failure


def split_region(model: str) -> tuple[str, str]:
    """`<model>@<region>` as its two parts; the region is empty if none is named."""
    name, _, region = model.partition("@")
    return name, region


def _finish(events: Any, reader: mapping.AnswerReader, ask: Ask) -> None:
    """Reads the usage, which comes after the stop reason, and to the end of the stream; but only for a moment.

    Whatever goes wrong now takes nothing from the answer, unless Bedrock itself says that there is an error.
    """
    if (call := bridge.current()) is not None:
        call.hang_up_in(GRACE_S)
    with suppress(*_ENDS_EARLY), translated(ask):
        for event in events:
            reader.read(event)


def _refuse_cut_bodies(client: Any) -> None:
    client.meta.events.register("before-parse.bedrock-runtime.Converse", _complete)


def _complete(response_dict: dict[str, Any], **_: Any) -> None:
    """Refuses a body that is shorter than announced: botocore takes it for the whole one."""
    announced = response_dict["headers"].get("content-length")
    if announced is not None and len(response_dict["body"]) < int(announced):
        raise errors.StreamInterrupted(provider=PROVIDER)
