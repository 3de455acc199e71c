"""`AnthropicService`: the real `anthropic` SDK, imported when it is first needed; its own retries are off."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

import msgspec

from amazon import clients
from providers import errors, profiles
from providers.anthropic.errors import from_connection, from_status_error
from providers.anthropic.mapping import PROVIDER, Assembly, request
from providers.service import GRACE_S, Answer, Ask, Capabilities, Delta, Metered

if TYPE_CHECKING:
    import anthropic
    from anthropic import AsyncStream
    from anthropic.types import RawMessageStreamEvent

_CONNECT_S: Final = 10.0
_BEDROCK: Final = "bedrock/"


class _Connection(msgspec.Struct, frozen=True, kw_only=True):
    """A client, and what belongs to its kind: how it fails, and what must not be told."""

    client: "anthropic.AsyncAnthropic | anthropic.AsyncAnthropicBedrock"
    secret: str | None
    malformed: tuple[type[Exception], ...]
    """What it raises when it cannot read an answer."""
    uncredentialed: tuple[type[Exception], ...]
    """What it raises when it finds no credentials, or stale ones."""


class _Progress(msgspec.Struct):
    answering: bool = False
    """The response has begun."""


class AnthropicService:
    """Claude, directly or on Bedrock.

    `anthropic/<model>` asks Anthropic's API; the SDK reads `ANTHROPIC_API_KEY`, `ANTHROPIC_BASE_URL` and its other
    variables. `anthropic/bedrock/<model id or ARN>` asks Bedrock's InvokeModel with the AWS credentials and region
    that boto3 finds, at `ANTHROPIC_BEDROCK_BASE_URL` or `AWS_ENDPOINT_URL_BEDROCK_RUNTIME` if either is set.
    """

    name = PROVIDER

    def __init__(self) -> None:
        self._connections: dict[bool, _Connection] = {}
        """By whether it is to Bedrock."""
        self._opening = asyncio.Lock()

    def capabilities(self, model: str) -> Capabilities:
        """See `AIService`."""
        return profiles.of(f"{PROVIDER}/{model}")

    def region(self, model: str) -> str:
        """See `AIService`. On Bedrock that of the environment; a profile's is not looked up."""
        if not model.startswith(_BEDROCK):
            return ""
        return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""

    async def generate(self, ask: Ask) -> Answer:
        """See `AIService`."""
        connection = await self._connection(ask.model)
        arguments = request(ask, ask.model.removeprefix(_BEDROCK))
        assembly = Assembly(ask)
        create = connection.client.messages.with_streaming_response.create
        with _translated(connection, ask) as progress:
            async with create(**arguments, stream=False) as response:
                progress.answering = True
                assembly.add_message(await response.parse())
        return assembly.answer()

    async def stream(self, ask: Ask) -> AsyncIterator[Delta | Metered | Answer]:
        """See `AIService`."""
        connection = await self._connection(ask.model)
        arguments = request(ask, ask.model.removeprefix(_BEDROCK))
        assembly = Assembly(ask)
        with _translated(connection, ask) as progress:
            async with await connection.client.messages.create(**arguments, stream=True) as events:
                progress.answering = True
                async for event in events:
                    if text := assembly.add_event(event):
                        yield Delta(text)
                    elif event.type == "message_start":
                        yield Metered(assembly.usage())
                    elif assembly.complete:
                        break
                if assembly.complete:
                    await _finish(connection, events)
        yield assembly.answer()

    async def warm_up(self) -> None:
        """See `AIService`."""
        await self._connection("")

    async def aclose(self) -> None:
        """Closes all connections."""
        while self._connections:
            _, connection = self._connections.popitem()
            await connection.client.close()

    async def _connection(self, model: str) -> _Connection:
        """The connection for `model`. Opening takes a second, in a thread: the SDK is imported."""
        on_bedrock = model.startswith(_BEDROCK)
        if (connection := self._connections.get(on_bedrock)) is not None:
            return connection
        async with self._opening:
            if on_bedrock not in self._connections:
                self._connections[on_bedrock] = await asyncio.to_thread(_to_bedrock if on_bedrock else _direct)
            return self._connections[on_bedrock]


async def _finish(connection: _Connection, events: "AsyncStream[RawMessageStreamEvent]") -> None:
    """Reads to the end of a complete answer, so that its connection can be used again; but only for a moment.

    Whatever goes wrong now takes nothing from the answer, unless Anthropic itself says that there is an error.
    """
    import httpx2

    with suppress(TimeoutError, httpx2.TransportError, *connection.malformed):
        async with asyncio.timeout(GRACE_S):
            async for _ in events:
                pass


def _direct() -> _Connection:
    import anthropic

    try:
        client = anthropic.AsyncAnthropic(max_retries=0, timeout=anthropic.Timeout(None, connect=_CONNECT_S))
    except anthropic.CredentialsError as error:
        detail = f"ANTHROPIC_API_KEY is not set, and no profile can be read: {error}"
        raise errors.AuthenticationFailed(detail, provider=PROVIDER) from error
    if client.api_key is None and client.auth_token is None and client.credentials is None:
        raise errors.AuthenticationFailed("ANTHROPIC_API_KEY is not set", provider=PROVIDER)
    return _Connection(
        client=client,
        secret=client.api_key or client.auth_token,
        malformed=(ValueError,),
        uncredentialed=(anthropic.CredentialsError,),
    )


def _to_bedrock() -> _Connection:
    import anthropic
    from botocore.eventstream import ParserError
    from botocore.exceptions import BotoCoreError

    try:
        client = anthropic.AsyncAnthropicBedrock(
            max_retries=0,
            timeout=anthropic.Timeout(None, connect=_CONNECT_S),
            base_url=os.environ.get("ANTHROPIC_BEDROCK_BASE_URL") or os.environ.get("AWS_ENDPOINT_URL_BEDROCK_RUNTIME"),
        )
        if client.api_key is None and clients.session().get_credentials() is None:
            raise errors.AuthenticationFailed("no AWS credentials are set", provider=PROVIDER)
    except (BotoCoreError, ValueError) as error:  # a profile that is none; no region
        raise errors.AuthenticationFailed(str(error), provider=PROVIDER) from error
    return _Connection(
        client=client, secret=client.api_key, malformed=(ValueError, ParserError), uncredentialed=(BotoCoreError,)
    )


@contextmanager
def _translated(connection: _Connection, ask: Ask) -> Iterator[_Progress]:
    """Turns what the SDK raises into our errors."""
    import anthropic
    import httpx2  # the SDK's transport: while a stream is read, its errors come through unwrapped

    progress = _Progress()
    try:
        yield progress
    except anthropic.APIStatusError as error:
        # Without its cause, whose text is the whole body: it may repeat the prompt.
        raise from_status_error(error, ask, connection.secret) from None
    except (anthropic.APIConnectionError, httpx2.TransportError) as error:
        raise from_connection(error, answering=progress.answering) from error
    except connection.uncredentialed as error:
        raise errors.AuthenticationFailed(str(error), provider=PROVIDER) from error
    except connection.malformed as error:
        if not progress.answering:
            raise
        raise errors.MalformedAnswer(f"not an event or message: {type(error).__name__}", provider=PROVIDER) from error
