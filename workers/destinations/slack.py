"""Callbacks as messages in Slack, over incoming webhooks or a bot's token."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Literal

import aiohttp
import msgspec
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from jobs.settings import Destination
from jobs.store.deliveries import EXCERPT_BYTES, Due
from workers.destinations import blocks
from workers.destinations.blocks import Message
from workers.destinations.service import Outcome

MESSAGE_S = 1.0
"""Slack takes about one message a second for each channel."""
_TURN_LIMIT_S = 10.0
"""Who would have to wait longer for its turn comes back later."""
_REMEMBERED = 1_000
_PASSING = frozenset(
    {
        *("ratelimited", "rate_limited", "message_limit_exceeded", "request_timeout", "service_unavailable"),
        *("internal_error", "fatal_error", "team_added_to_org"),
    }
)
"""Errors of Slack's that go away by themselves; all others last until somebody changes something."""
_UNREADABLE = "unreadable_answer"


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What Slack said to one message."""

    status: int
    error: str = ""
    """Slack's own code; empty: the message was posted."""
    retry_after_s: float = 0.0
    timestamp: str | None = None
    """The message's, which is its id within the channel; webhooks do not tell it."""


class _Progress(msgspec.Struct):
    """How far a result that takes several messages has got."""

    posted: int = 0
    thread: str | None = None


class SlackSender:
    """Posts callbacks to Slack."""

    def __init__(
        self, destinations: Mapping[str, Destination], attempt_s: float, *, message_s: float = MESSAGE_S
    ) -> None:
        """Must be made within the event loop. `attempt_s` bounds one attempt, `message_s` lies between two messages."""
        self._attempt_s = attempt_s
        self._turns = _Turns(message_s)
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=attempt_s), cookie_jar=aiohttp.DummyCookieJar()
        )
        self._webhooks = {
            name: AsyncWebhookClient(url, session=self._session, retry_handlers=[])
            for name, destination in destinations.items()
            if (url := destination.slack_webhook)
        }
        bots = (destination for destination in destinations.values() if destination.slack_token)
        self._bot = next((_client(bot, self._session) for bot in bots), None)
        self._progress: dict[str, _Progress] = {}

    async def send(self, due: Due) -> Outcome:
        """See `Sender`."""
        try:
            async with asyncio.timeout(self._attempt_s):
                return await self._post_all(due)
        except TimeoutError:
            return Outcome(verdict="again", error=f"Slack gave no complete answer within {self._attempt_s:g} s")
        except (aiohttp.ClientError, OSError) as failure:
            # Not its text: that may hold the URL, and whoever knows a webhook's URL can post to it.
            return Outcome(verdict="again", error=f"Slack cannot be reached: {type(failure).__name__}")

    async def _post_all(self, due: Due) -> Outcome:
        """Posts the messages that have not been posted yet."""
        all_messages = blocks.messages(due.body)
        progress = self._remembered(due.webhook_id)
        for message in all_messages[progress.posted :]:
            if (wait_s := await self._turns.take(due.destination)) > 0:
                return Outcome(verdict="again", error="too many messages for this channel", pause_s=wait_s)
            answer = await self._post(due, message, progress)
            if answer is None:
                return Outcome(verdict="again", error="this worker's ringback.toml has no such destination")
            if answer.error:
                return _outcome(answer)
            progress.posted += 1
            progress.thread = progress.thread or answer.timestamp
        self._progress.pop(due.webhook_id, None)
        return Outcome(verdict="delivered", status_code=200, excerpt="ok")

    def _remembered(self, webhook_id: str) -> _Progress:
        """So that a later attempt in this process repeats no message."""
        while len(self._progress) >= _REMEMBERED:
            del self._progress[next(iter(self._progress))]
        return self._progress.setdefault(webhook_id, _Progress())

    async def _post(self, due: Due, message: Message, progress: _Progress) -> _Answer | None:
        """Slack's answer; `None` if the destination is not among ours. Raises what aiohttp raises."""
        _, kind, name = due.destination.split(":", 2)
        content: dict[str, Any] = {
            "text": message.text,
            "blocks": message.blocks,
            "unfurl_links": False,
            "unfurl_media": False,
            "metadata": {
                "event_type": "ringback_callback",
                "event_payload": {"webhook_id": due.webhook_id, "job_id": due.job_id, "part": progress.posted + 1},
            },
        }
        if kind == "webhook":
            return await _post_by_webhook(self._webhooks[name], content) if name in self._webhooks else None
        if self._bot is None:
            return None
        return await _post_by_bot(self._bot, content | {"channel": name, "thread_ts": progress.thread, "parse": "none"})

    async def aclose(self) -> None:
        """See `Sender`."""
        await self._session.close()


class _Turns:
    """Lets one message a second through to each channel."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._next: dict[str, float] = {}

    async def take(self, channel: str) -> float:
        """Waits for a turn and takes it: 0. Takes none if that would be too long: the seconds until there is one."""
        now = time.monotonic()
        turn = max(now, self._next.get(channel, 0.0))
        if turn - now > _TURN_LIMIT_S:
            return turn - now
        if len(self._next) >= _REMEMBERED:
            self._next = {name: at for name, at in self._next.items() if at > now}
        self._next[channel] = turn + self._interval_s
        await asyncio.sleep(turn - now)
        return 0.0


def _client(bot: Destination, session: aiohttp.ClientSession) -> AsyncWebClient:
    base = bot.slack_api_url or AsyncWebClient.BASE_URL
    return AsyncWebClient(bot.slack_token, base_url=base, session=session, retry_handlers=[])


async def _post_by_webhook(client: AsyncWebhookClient, content: dict[str, Any]) -> _Answer:
    reply = await client.send_dict(content)
    posted = 200 <= reply.status_code < 300
    return _Answer(
        status=reply.status_code,
        error="" if posted else _code(reply.body),
        retry_after_s=_retry_after(reply.headers),
    )


async def _post_by_bot(client: AsyncWebClient, content: dict[str, Any]) -> _Answer:
    try:
        reply = await client.chat_postMessage(**content)
    except SlackApiError as refusal:
        if isinstance(said := refusal.response, aiohttp.ClientResponse):  # which it could not read
            return _Answer(status=said.status, error=_UNREADABLE, retry_after_s=_retry_after(said.headers))
        code = said.data.get("error", "") if isinstance(said.data, dict) else ""
        return _Answer(status=said.status_code, error=_code(code), retry_after_s=_retry_after(said.headers))
    except AttributeError:
        # slack_sdk takes every 200 for an object: this is somebody else's page.
        return _Answer(status=200, error=_UNREADABLE)
    return _Answer(status=reply.status_code, timestamp=str(reply.get("ts") or "") or None)


def _code(said: str) -> str:
    """Slack's error code; anything longer is no code, and is not repeated."""
    return said if said and len(said) < 64 and said.isascii() and said.isidentifier() else _UNREADABLE


def _retry_after(headers: Mapping[str, str]) -> float:
    """Slack says it in whole seconds."""
    value = headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() else 0.0


def _outcome(answer: _Answer) -> Outcome:
    return Outcome(
        verdict=_verdict(answer),
        status_code=answer.status,
        excerpt=answer.error[:EXCERPT_BYTES],
        error=f"Slack refused the message: {answer.error}",
        pause_s=answer.retry_after_s,
    )


def _verdict(answer: _Answer) -> Literal["again", "never"]:
    passing = answer.error in _PASSING or answer.status in (408, 429) or answer.status >= 500
    # An unreadable 200 is none of Slack's: something stands between us for now.
    return "again" if passing or (answer.error == _UNREADABLE and answer.status < 400) else "never"
