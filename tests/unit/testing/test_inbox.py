"""The callback inbox, against the reference implementation of Standard Webhooks and a plain HTTP client."""

import asyncio
import base64
import time
from collections.abc import Callable
from datetime import UTC, datetime

import aiohttp
import pytest
from standardwebhooks import Webhook

from ringback.testing.inbox import CallbackInbox

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER = "whsec_" + base64.b64encode(bytes(32)).decode()
BODY = '{"type":"job.succeeded","data":{"output":{"text":"안녕하세요"}}}'


def signed(body: str = BODY, *, secret: str = SECRET, id_: str = "msg_1", at: float | None = None) -> dict[str, str]:
    """The headers of a callback signed by the reference implementation."""
    moment = datetime.fromtimestamp(int(at or time.time()), UTC)
    return {
        "webhook-id": id_,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Webhook(secret).sign(id_, moment, body),
    }


async def post(inbox: CallbackInbox, headers: dict[str, str], body: str = BODY, path: str = "/hooks/ai?x=1") -> int:
    """Delivers one callback and returns the status it was answered with."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(inbox.url + path, data=body.encode(), headers=headers, allow_redirects=False) as response,
    ):
        return response.status


async def test_records_what_arrives(callback_inbox: CallbackInbox) -> None:
    assert await post(callback_inbox, signed() | {"Ringback-Sequence": "3"}) == 204

    (callback,) = await callback_inbox.wait_for(1)

    assert callback.body == BODY.encode()
    assert callback.json["data"]["output"]["text"] == "안녕하세요"
    assert (callback.method, callback.path, callback.type, callback.id) == (
        "POST",
        "/hooks/ai?x=1",
        "job.succeeded",
        "msg_1",
    )
    assert callback.headers["ringback-sequence"] == "3"
    assert callback.answered == 204


async def test_good_signatures_hold(callback_inbox: CallbackInbox) -> None:
    rotating = signed()
    rotating["webhook-signature"] += " " + signed(secret=OTHER)["webhook-signature"]
    await post(callback_inbox, signed())
    await post(callback_inbox, rotating)

    plain, both = await callback_inbox.wait_for(2)

    assert plain.signature_problem(SECRET) is None
    assert plain.signature_problem(OTHER, SECRET) is None
    assert both.signature_problem(OTHER) is None
    assert both.signature_problem(SECRET) is None


@pytest.mark.parametrize(
    ("sign", "problem"),
    [
        (dict, "missing"),
        (lambda: signed(secret=OTHER), "no signature matches"),
        (lambda: signed(body=BODY + " "), "no signature matches"),
        (lambda: signed() | {"webhook-id": "msg_2"}, "no signature matches"),
        (lambda: signed() | {"webhook-timestamp": str(int(time.time()) - 1)}, "no signature matches"),
        (lambda: signed() | {"webhook-signature": "v1"}, "no signature matches"),
        (lambda: signed() | {"webhook-timestamp": "soon"}, "not the time"),
        (lambda: signed(at=time.time() - 3600), "not the time"),
    ],
)
async def test_bad_signatures_do_not(
    callback_inbox: CallbackInbox, sign: Callable[[], dict[str, str]], problem: str
) -> None:
    await post(callback_inbox, sign())

    (callback,) = await callback_inbox.wait_for(1)

    assert problem in (callback.signature_problem(SECRET) or "")


async def test_a_secret_that_is_none_is_told(callback_inbox: CallbackInbox) -> None:
    await post(callback_inbox, signed())

    (callback,) = await callback_inbox.wait_for(1)

    assert "secret" in (callback.signature_problem("whsec_not base64!") or "")


async def test_fails_as_told_then_recovers(callback_inbox: CallbackInbox) -> None:
    callback_inbox.fail(503, times=2, headers={"retry-after": "1"})
    callback_inbox.fail("redirect")

    assert [await post(callback_inbox, signed()) for _ in range(4)] == [503, 503, 307, 204]
    assert [callback.answered for callback in callback_inbox.received] == [503, 503, 307, 204]
    assert list(callback_inbox.by_id()) == ["msg_1"]
    assert len(callback_inbox.by_id()["msg_1"]) == 4


async def test_resets_the_connection(callback_inbox: CallbackInbox) -> None:
    callback_inbox.fail("reset")

    with pytest.raises(aiohttp.ClientOSError):
        await post(callback_inbox, signed())
    assert (await callback_inbox.wait_for(1))[0].answered is None
    assert await post(callback_inbox, signed()) == 204


async def test_never_answers(callback_inbox: CallbackInbox) -> None:
    callback_inbox.fail("hang")

    task = asyncio.create_task(post(callback_inbox, signed()))
    await callback_inbox.wait_for(1)
    assert not task.done()
    task.cancel()


async def test_slow_success_is_recorded_before_it_is_answered(callback_inbox: CallbackInbox) -> None:
    callback_inbox.fail(200, after_s=30)

    task = asyncio.create_task(post(callback_inbox, signed()))
    assert (await callback_inbox.wait_for(1))[0].answered == 200
    assert not task.done()
    task.cancel()


async def test_takes_what_is_not_json(callback_inbox: CallbackInbox) -> None:
    await post(callback_inbox, {}, body="plain")

    (callback,) = await callback_inbox.wait_for(1)

    assert (callback.json, callback.type, callback.id) == (None, "", "")


async def test_waiting_has_an_end(callback_inbox: CallbackInbox) -> None:
    with pytest.raises(TimeoutError, match="1 callbacks"):
        await callback_inbox.wait_for(1, timeout=0.02)
