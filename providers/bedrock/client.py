"""`BedrockService`: Converse, called from the event loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import quote

import msgspec

from amazon.calls import Calls, Reply
from amazon.eventstream import EventReader
from amazon.failures import Failure
from providers import errors, profiles, reason
from providers.bedrock import mapping
from providers.bedrock.errors import translated
from providers.bedrock.mapping import PROVIDER
from providers.service import GRACE_S, Answer, Ask, Capabilities, Delta, Metered

READ_S = 900.0
"""Seconds of silence after which a call gives up by itself; the limits of jobs are far below."""
CALLS = 1024
"""Calls at once in a region, each with a connection while it lasts."""
_SERVICE = "bedrock-runtime"
_TOKEN = "AWS_BEARER_TOKEN_BEDROCK"  # noqa: S105 - the name of its variable
_MOST = 65_536
"""Bytes that are taken in at once."""
_NOT_STREAMED = "in streaming mode"
"""Said of a model (Llama) that calls tools, but not in a stream: "This model doesn't support tool use in …"."""
_ENDS_EARLY = (errors.StreamInterrupted, errors.Stalled, errors.MalformedAnswer, TimeoutError)


class BedrockService:
    """Bedrock's Converse, with the credentials, profile, region and endpoint that boto3 finds; `AWS_REGION` too.

    `<model>@<region>` asks the model in that region, with the same credentials.
    """

    name = PROVIDER

    def __init__(self) -> None:
        self._calls: dict[str, Calls] = {}
        """By region; empty: the region that boto3 finds."""
        self._whole_with_tools: set[str] = set()
        """Models that call tools only in whole answers, as far as this has turned out."""

    def capabilities(self, model: str) -> Capabilities:
        """See `AIService`."""
        return profiles.of(f"{PROVIDER}/{split_region(model)[0]}")

    def region(self, model: str) -> str:
        """See `AIService`. That of a profile is known once a first call has been made."""
        _, named = split_region(model)
        return named or self._to("").region

    async def generate(self, ask: Ask) -> Answer:
        """See `AIService`."""
        async with self._asked(ask, "converse") as reply:
            body = await reply.whole()
        reader = _reader(ask)
        try:
            reader.read_whole(msgspec.json.decode(body, type=dict[str, Any]))
        except msgspec.DecodeError:
            raise errors.MalformedAnswer(provider=PROVIDER) from None
        return reader.answer()

    async def stream(self, ask: Ask) -> AsyncIterator[Delta | Metered | Answer]:
        """See `AIService`."""
        if not (ask.tools and ask.model in self._whole_with_tools):
            reader = _reader(ask)
            try:
                async with self._asked(ask, "converse-stream") as reply:
                    events = _events(reply, ask)
                    async for event in events:
                        if text := reader.read(event):
                            yield Delta(text)
                        elif reader.complete:
                            await _finish(events, reader, ask)
                            break
                yield reader.answer()
                return
            except errors.BadRequest as refusal:
                if not ask.tools or _NOT_STREAMED not in str(refusal):
                    raise
                self._whole_with_tools.add(ask.model)
        answer = await self.generate(ask)
        if answer.text:
            yield Delta(answer.text)
        yield answer

    async def warm_up(self) -> None:
        """See `AIService`."""
        with translated():
            await self._to("").warm_up()

    async def aclose(self) -> None:
        """See `AIService`."""
        for calls in self._calls.values():
            await calls.aclose()

    def _to(self, region: str) -> Calls:
        if region not in self._calls:
            self._calls[region] = Calls(_SERVICE, at_once=CALLS, region=region, read_s=READ_S, token=_TOKEN)
        return self._calls[region]

    @asynccontextmanager
    async def _asked(self, ask: Ask, operation: str) -> AsyncIterator[Reply]:
        """What Bedrock answers. Raises a class of `providers.errors`."""
        model, region = split_region(ask.model)
        if not model:
            raise errors.BadRequest("the model has no name", provider=PROVIDER)
        calls = self._to(region)
        path = f"/model/{quote(model, safe='')}/{operation}"
        body = msgspec.json.encode(mapping.request(ask))
        with translated(ask):
            try:
                await calls.ready()
            except Failure as failure:
                if not region:
                    raise
                what = f"{region!r}, after the model's @, is no region"
                raise errors.ModelNotFound(what, provider=PROVIDER) from failure
            async with calls.post(path, body, texts=tuple(reason.texts(ask))) as reply:
                yield reply


def split_region(model: str) -> tuple[str, str]:
    """`<model>@<region>` as its two parts; the region is empty if none is named."""
    name, _, region = model.partition("@")
    return name, region


def _reader(ask: Ask) -> mapping.AnswerReader:
    return mapping.AnswerReader(msgspec.structs.replace(ask, model=split_region(ask.model)[0]))


async def _events(reply: Reply, ask: Ask) -> AsyncIterator[dict[str, Any]]:
    reader = EventReader(reason.texts(ask))
    while data := await reply.some(_MOST):
        for kind, event in reader.read(data):
            yield {kind: event}


async def _finish(events: AsyncIterator[dict[str, Any]], reader: mapping.AnswerReader, ask: Ask) -> None:
    """Reads the usage, which comes after the stop reason, and to the end of the stream; but only for a moment.

    Whatever goes wrong now takes nothing from the answer, unless Bedrock itself says that there is an error.
    """
    with suppress(*_ENDS_EARLY), translated(ask):
        async with asyncio.timeout(GRACE_S):
            async for event in events:
                reader.read(event)
