"""Lists of deliveries by status, newest first, and replays: a delivery gets a new round of attempts."""

import secrets

import msgspec

from jobs import destinations, errors, ids
from jobs.settings import Settings
from jobs.store import keys, listing
from jobs.store.connection import Call, Connection
from jobs.store.deliveries import Delivery, DeliveryStatus, kept_in_indexes, read

_CHUNK = 100
_CHUNKS = 20
"""A page looks at no more than so many chunks of deliveries."""
_REPLAYED_AT_ONCE = 200


class DeliveryPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of deliveries, newest first."""

    items: list[Delivery]
    next_cursor: str | None


class DeadLetters:
    """The deliveries that failed for good; and those that arrived, or wait for another attempt."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        """Reads shards and retention from `settings`."""
        self._connection = connection
        self._settings = settings

    async def page(
        self,
        *,
        owner: str | None = None,
        status: DeliveryStatus = "failed",
        destination: str | None = None,
        since_ms: int | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> DeliveryPage:
        """Deliveries with that status, newest first; `pending` are those that wait for another attempt.

        `destination`: only those that go there, or for a URL, below it. `since_ms`: only those made then or later,
        Unix milliseconds. With `owner` (an API key's id) only deliveries of that owner's jobs are there. A page may
        hold fewer items than `limit` and still have a `next_cursor`.
        Raises `errors.InvalidRequest` for a cursor that is not one, `errors.StoreUnavailable`.
        """
        position = cursor or ""
        if cursor is not None:
            listing.check_cursor(cursor, keys.DELIVERY_PREFIX)
        since = "" if since_ms is None else ids.floor(keys.DELIVERY_PREFIX, since_ms)
        items: list[Delivery] = []
        for _ in range(_CHUNKS):
            found_ids = await listing.newest(
                self._connection,
                self._settings.shards,
                _index(status, owner),
                before=position,
                since=since,
                limit=_CHUNK,
            )
            for id_, found in zip(found_ids, await read(self._connection, found_ids), strict=True):
                position = id_
                if found is not None and found.status == status and _goes_to(found, destination):
                    items.append(found)
                    if len(items) == limit:
                        return DeliveryPage(items=items, next_cursor=position)
            if len(found_ids) < _CHUNK:
                return DeliveryPage(items=items, next_cursor=None)
        return DeliveryPage(items=items, next_cursor=position)

    async def replay(self, delivery_id: str, *, owner: str | None = None) -> Delivery:
        """Starts a new round of attempts at a delivery, due now; it keeps its `webhook_id`, sequence, body and log.

        `owner` as in `page`. Raises `errors.NotFound`, `errors.StoreUnavailable`.
        """
        replayed = await self._replay([delivery_id], owner)
        (found,) = await read(self._connection, [delivery_id])
        if not replayed or found is None:
            raise errors.NotFound("There is no such delivery, or it has passed its retention.")
        return found

    async def replay_all(
        self,
        *,
        owner: str | None = None,
        status: DeliveryStatus = "failed",
        destination: str | None = None,
        since_ms: int | None = None,
    ) -> int:
        """Replays every delivery that `page` would list; how many. Raises `errors.StoreUnavailable`."""
        replayed, cursor = 0, None
        while True:
            page = await self.page(
                owner=owner,
                status=status,
                destination=destination,
                since_ms=since_ms,
                limit=_REPLAYED_AT_ONCE,
                cursor=cursor,
            )
            replayed += await self._replay([item.id for item in page.items], owner)
            if page.next_cursor is None:
                return replayed
            cursor = page.next_cursor

    async def _replay(self, delivery_ids: list[str], owner: str | None) -> int:
        whose = "*" if owner is None else owner
        token, kept = secrets.token_hex(8), kept_in_indexes(self._settings)
        calls = (Call(keys.delivery(id_), (id_, whose, token, *kept)) for id_ in delivery_ids)
        return sum(await self._connection.run_many("replay", calls))


def _index(status: DeliveryStatus, owner: str | None) -> str:
    index = f"delivery:{status}"
    return index if owner is None else listing.owned(owner, index)


def _goes_to(found: Delivery, destination: str | None) -> bool:
    return (
        destination is None or found.destination == destination or destinations.covers(destination, found.destination)
    )
