"""Histories in Amazon DynamoDB, by user and time, where that is configured; `table` defines what they are in."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from amazon import clients, failures
from jobs import errors, ids
from jobs.session import HistoryPage, Kept, Message
from jobs.settings import Settings

T = TypeVar("T")

CALLS = 16
"""Calls at once, each with a thread and a connection while it lasts."""
CONNECT_S = 2.0
READ_S = 5.0
TRIES = 2
_BY_SESSION = "session"
_PREFIX = "msg"
_LAST = "~"
"""Sorts behind every id."""


def table(name: str) -> dict[str, Any]:
    """The table, as `create_table` takes it: a user's messages by id, which is by time; and a session's."""
    text = "S"
    return {
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [
            {"AttributeName": attribute, "AttributeType": text} for attribute in ("user_id", "id", "session_id")
        ],
        "KeySchema": _keys("user_id"),
        "GlobalSecondaryIndexes": [
            {"IndexName": _BY_SESSION, "KeySchema": _keys("session_id"), "Projection": {"ProjectionType": "ALL"}}
        ],
    }


def _keys(partition: str) -> list[dict[str, str]]:
    return [{"AttributeName": partition, "KeyType": "HASH"}, {"AttributeName": "id", "KeyType": "RANGE"}]


class DynamoArchive:
    """An `Archive` in one table. Messages of nobody in particular are kept under their session's id."""

    def __init__(self, settings: Settings) -> None:
        """Reads table and retention; credentials, region and endpoint are those that boto3 finds."""
        self._table = settings.history_table
        self._retention_s = settings.history_retention_s
        self._threads = ThreadPoolExecutor(CALLS, thread_name_prefix="dynamodb")
        self._made: Any = None

    async def put(self, kept: Kept) -> None:
        """See `Archive`. A version of the message that was written later stays."""
        item = _item(kept, int(kept.message.at.timestamp() + self._retention_s))
        await self._run(lambda client: self._put(client, item))

    def _put(self, client: Any, item: dict[str, Any]) -> None:
        try:
            client.put_item(
                TableName=self._table,
                Item=item,
                ConditionExpression="attribute_not_exists(id) OR said_at <= :at",
                ExpressionAttributeValues={":at": item["said_at"]},
            )
        except client.exceptions.ConditionalCheckFailedException:
            return

    async def of_session(
        self, session_id: str, *, owner: str | None = None, since_ms: int = 0, after: str = "", limit: int = 50
    ) -> HistoryPage | None:
        """See `Archive`. What was said in the last moment may still be on its way."""
        found = await self._query("session_id", session_id, owner, _lower(since_ms, after), limit + 1)
        if not found and not await self._query("session_id", session_id, owner, "", 1):
            return None
        return _page(found, limit)

    async def of_user(
        self, user_id: str, *, owner: str | None = None, since_ms: int = 0, after: str = "", limit: int = 50
    ) -> HistoryPage:
        """See `Archive`."""
        return _page(await self._query("user_id", user_id, owner, _lower(since_ms, after), limit + 1), limit)

    async def latest(self, user_id: str, *, owner: str, limit: int) -> list[Message]:
        """See `Archive`."""
        return (await self._query("user_id", user_id, owner, "", limit, newest=True))[::-1] if limit else []

    async def _query(
        self, by: str, value: str, owner: str | None, lower: str, count: int, *, newest: bool = False
    ) -> list[Message]:
        """Up to `count` messages with ids greater than `lower`."""
        asked: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": f"{by} = :value AND id BETWEEN :lower AND :last",
            "ExpressionAttributeValues": {
                ":value": {"S": value},
                ":lower": {"S": lower or _PREFIX},
                ":last": {"S": _LAST},
            },
            "ScanIndexForward": not newest,
        }
        if by != "user_id":
            asked["IndexName"] = _BY_SESSION
        if owner is not None:
            asked["FilterExpression"] = "#owner = :owner"
            asked["ExpressionAttributeNames"] = {"#owner": "owner"}
            asked["ExpressionAttributeValues"][":owner"] = {"S": owner}
        return await self._run(lambda client: _read(client, asked, lower, count))

    async def _run(self, work: Callable[[Any], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._told, work)

    def _told(self, work: Callable[[Any], T]) -> T:
        """In a thread: what `work` does with the client; failures as `errors.StoreUnavailable`."""
        try:
            with failures.told():
                return work(self._client())
        except failures.Failure as failure:
            said = f"DynamoDB cannot be reached: {failure.__cause__ or failure}"
            if code := failure.code:
                hint = f"; there is no table {self._table!r}" if failure.kind == "resourcenotfound" else ""
                said = f"DynamoDB refused: {code}{hint}"
            raise errors.StoreUnavailable(said, retry_after=5) from failure

    def _client(self) -> Any:
        if self._made is None:
            self._made = clients.made("dynamodb", calls=CALLS, connect_s=CONNECT_S, read_s=READ_S, tries=TRIES)
        return self._made

    async def aclose(self) -> None:
        """Waits for the calls under way and closes the client."""
        await asyncio.to_thread(self._threads.shutdown)
        if self._made is not None:
            self._made.close()


def _lower(since_ms: int, after: str) -> str:
    return max(after, ids.floor(_PREFIX, since_ms))


def _page(found: list[Message], limit: int) -> HistoryPage:
    return HistoryPage(items=found[:limit], next_cursor=found[limit - 1].id if len(found) > limit else None)


def _read(client: Any, asked: dict[str, Any], lower: str, count: int) -> list[Message]:
    messages: list[Message] = []
    start: dict[str, Any] = {}
    while True:
        reply = client.query(**asked, Limit=max(count - len(messages) + 1, 1), **start)
        messages += [_message(item) for item in reply["Items"] if item["id"]["S"] != lower]
        if len(messages) >= count or "LastEvaluatedKey" not in reply:
            return messages[:count]
        start = {"ExclusiveStartKey": reply["LastEvaluatedKey"]}


def _item(kept: Kept, expires_at: int) -> dict[str, Any]:
    message = kept.message
    texts = {
        "user_id": message.user_id or message.session_id,
        "id": message.id,
        "session_id": message.session_id,
        "said_at": message.at.isoformat(timespec="microseconds"),
        "owner": kept.owner,
        "role": message.role,
        "text": message.text,
        "extra": msgspec.json.encode(message.extra).decode(),
        **{name: value for name in ("job_id", "language") if (value := getattr(message, name)) is not None},
    }
    numbers = {"expires_at": expires_at} | ({} if message.tokens is None else {"tokens": message.tokens})
    return {name: {"S": value} for name, value in texts.items()} | {
        name: {"N": str(value)} for name, value in numbers.items()
    }


def _message(item: dict[str, Any]) -> Message:
    text = {name: value["S"] for name, value in item.items() if "S" in value}
    return Message(
        id=text["id"],
        session_id=text["session_id"],
        user_id=text["user_id"] if text["user_id"] != text["session_id"] else None,
        role="assistant" if text["role"] == "assistant" else "user",
        text=text["text"],
        at=datetime.fromisoformat(text["said_at"]),
        job_id=text.get("job_id"),
        language=text.get("language"),
        tokens=int(item["tokens"]["N"]) if "tokens" in item else None,
        extra=msgspec.json.decode(text["extra"], type=dict[str, Any]),
    )
