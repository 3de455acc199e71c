"""Results in Slack: what is shown within its limits, and what follows from each of its answers."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import pytest

from jobs.settings import Destination
from jobs.store.deliveries import Due
from tests.slack import TOKEN, Reply, SlackServer, objection, texts_of
from tests.stack import free_port
from workers.destinations import blocks
from workers.destinations.service import Outcome
from workers.destinations.slack import SlackSender

SECRET_PATH = "/services/T0/B0/geheim"
INQUIRY = {
    "summary": "3주째 배송되지 않아 환불을 요청함.",
    "softened": "주문한 지 3주가 지났습니다. 환불해 주세요.",
    "sentiment": "negative",
    "category": "refund",
}


@pytest.fixture
def slack(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlackServer]:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    with SlackServer() as server:
        yield server


@pytest.fixture
async def sender(slack: SlackServer) -> AsyncIterator[SlackSender]:
    made = SlackSender(
        {
            "support": Destination(slack_webhook=slack.url + SECRET_PATH),
            "bot": Destination(slack_token=TOKEN, slack_api_url=f"{slack.url}/api/"),
        },
        5.0,
        message_s=0.0,
    )
    yield made
    await made.aclose()


def body(output: Any = None, error: Any = None, status: str = "succeeded") -> bytes:
    job = {"id": "job_1", "type": "inquiry", "status": status, "model": "offline/rules", "output": output}
    return msgspec.json.encode(
        {"type": f"job.{status}", "timestamp": "2026-11-22T00:00:00Z", "data": job | {"error": error}}
    )


def due(content: bytes, destination: str = "slack:webhook:support", webhook_id: str = "msg_1") -> Due:
    return Due(
        id="dlv_1",
        job_id="job_1",
        webhook_id=webhook_id,
        sequence=4,
        destination=destination,
        body=content,
        tries=0,
        began_ms=0,
    )


def test_an_inquiry_is_shown_in_its_language() -> None:
    (message,) = blocks.messages(body(INQUIRY))
    assert [block["type"] for block in message.blocks] == ["header", "section", "section", "section", "context"]
    assert texts_of(message.blocks) == [
        "inquiry · 성공",
        "*감정*\n부정",
        "*분류*\n환불",
        "*요약*\n3주째 배송되지 않아 환불을 요청함.",
        "*순화한 글*\n주문한 지 3주가 지났습니다. 환불해 주세요.",
        "job_1 · offline/rules",
    ]
    assert message.text.startswith("inquiry · 성공\n")
    english = texts_of(blocks.messages(body(INQUIRY | {"summary": "Late.", "softened": "It is late."}))[0].blocks)
    assert english[:4] == ["inquiry · succeeded", "*Sentiment*\nnegative", "*Category*\nrefund", "*Summary*\nLate."]


def test_a_failure_says_its_code() -> None:
    (message,) = blocks.messages(body(error={"code": "output_invalid", "message": "No <b>."}, status="failed"))
    assert texts_of(message.blocks)[:2] == ["inquiry · failed", "⚠️ `output_invalid`\nNo &lt;b&gt;."]


@pytest.mark.parametrize(
    "output",
    [
        None,
        "just text",
        {"text": ""},
        {"text": "<!channel> <@U1> & <https://evil.example|click>"},
        {"data": {"rows": [1, 2.5, None, True, "``` <!here>"]}},
        {"data": [{"n": number} for number in range(2_000)]},
        {f"field {number}": "short" for number in range(35)},
        {"x" * 5_000: "y", "*": "<!channel>", "": "z", "n": None, "b": True},
        {"text": "가나다라 마바사. " * 3_000},
        {"text": "😀&<" * 4_000},
        {"text": "```\n" + "x = 1\n" * 5_000 + "```"},
        {"text": "\n\n".join(["short paragraph"] * 3_000)},
        {"summary": "s " * 1_400, "softened": "t " * 20_000, "sentiment": "neutral", "category": "other"},
    ],
)
def test_whatever_the_result_slack_takes_it_and_nobody_is_called(output: Any) -> None:
    made = blocks.messages(body(output))
    assert 1 <= len(made) <= blocks.MESSAGES
    for message in made:
        assert objection({"blocks": message.blocks, "text": message.text}) is None
        assert all("<" not in text for text in [message.text, *texts_of(message.blocks)])
        assert all(text.get("verbatim") or text["type"] == "plain_text" for text in _objects(message.blocks))


def _objects(made: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for block in made:
        yield from [*([block["text"]] if "text" in block else []), *block.get("fields", []), *block.get("elements", [])]


def test_what_is_too_long_for_all_messages_is_cut_and_says_so() -> None:
    made = blocks.messages(body({"text": "word " * 40_000}))
    assert len(made) == blocks.MESSAGES
    assert texts_of(made[-1].blocks)[-2:] == [
        "✂️ _Too long: cut here. The whole result is in job job_1._",
        "job_1 · offline/rules · 10/10",
    ]
    assert "줄였습니다" in texts_of(blocks.messages(body({"text": "단어 " * 60_000}))[-1].blocks)[-2]


async def test_a_webhook_gets_the_message(sender: SlackSender, slack: SlackServer) -> None:
    outcome = await sender.send(due(body(INQUIRY)))
    assert outcome == Outcome(verdict="delivered", status_code=200, excerpt="ok")
    (posted,) = slack.posted
    assert posted.path == SECRET_PATH
    assert posted.content["metadata"]["event_payload"] == {"webhook_id": "msg_1", "job_id": "job_1", "part": 1}
    assert posted.content["unfurl_links"] is posted.content["unfurl_media"] is False


async def test_a_long_result_goes_on_in_a_thread(sender: SlackSender, slack: SlackServer) -> None:
    outcome = await sender.send(due(body({"text": "Sentence by sentence. " * 1_500}), "slack:channel:#support"))
    assert outcome.verdict == "delivered"
    contents = [posted.content for posted in slack.posted]
    assert len(contents) == 4
    assert {content["channel"] for content in contents} == {"#support"}
    assert [content.get("thread_ts") for content in contents] == [None, "1.000001", "1.000001", "1.000001"]
    assert [content["metadata"]["event_payload"]["part"] for content in contents] == [1, 2, 3, 4]
    assert not slack.refused


async def test_a_later_attempt_goes_on_where_the_first_stopped(sender: SlackSender, slack: SlackServer) -> None:
    long = due(body({"text": "Sentence by sentence. " * 1_500}), "slack:channel:C1")
    limited = Reply(status=429, body='{"ok":false,"error":"ratelimited"}', headers={"Retry-After": "30"})
    slack.replies.extend([None, None, limited])
    outcome = await sender.send(long)
    assert (outcome.verdict, outcome.status_code, outcome.pause_s) == ("again", 429, 30.0)
    assert (await sender.send(long)).verdict == "delivered"
    assert [posted.content["metadata"]["event_payload"]["part"] for posted in slack.posted] == [1, 2, 3, 4]
    assert {posted.content.get("thread_ts") for posted in slack.posted[1:]} == {"1.000001"}


@pytest.mark.parametrize(
    ("status", "said", "verdict", "error"),
    [
        (429, "rate_limited", "again", "rate_limited"),
        (500, "server_error", "again", "server_error"),
        (503, "<html>geheim</html>", "again", "unreadable_answer"),
        (400, "invalid_payload", "never", "invalid_payload"),
        (403, "invalid_token", "never", "invalid_token"),
        (403, "action_prohibited", "never", "action_prohibited"),
        (404, "no_service", "never", "no_service"),
        (410, "channel_is_archived", "never", "channel_is_archived"),
    ],
)
async def test_what_a_webhook_answers(
    sender: SlackSender, slack: SlackServer, status: int, said: str, verdict: str, error: str
) -> None:
    slack.replies.append(Reply(status=status, body=said, content_type="text/html", headers={"Retry-After": "7"}))
    outcome = await sender.send(due(body(INQUIRY)))
    assert outcome.verdict == verdict
    assert outcome.status_code == status
    assert outcome.error == f"Slack refused the message: {error}"
    assert outcome.pause_s == 7.0


@pytest.mark.parametrize(
    ("status", "said", "kind", "verdict", "error"),
    [
        (200, '{"ok":false,"error":"invalid_auth"}', "application/json", "never", "invalid_auth"),
        (200, '{"ok":false,"error":"channel_not_found"}', "application/json", "never", "channel_not_found"),
        (200, '{"ok":false,"error":"not_in_channel"}', "application/json", "never", "not_in_channel"),
        (200, '{"ok":false,"error":"ratelimited"}', "application/json", "again", "ratelimited"),
        (200, '{"ok":false,"error":"internal_error"}', "application/json", "again", "internal_error"),
        (503, "down", "text/plain", "again", "unreadable_answer"),
        (502, "<html>", "text/html", "again", "unreadable_answer"),
        (200, "<html>log in</html>", "text/html", "again", "unreadable_answer"),
        (200, "log in", "text/plain", "again", "unreadable_answer"),
        (200, "{broken", "application/json", "again", "unreadable_answer"),
        (200, "[]", "application/json", "again", "unreadable_answer"),
    ],
)
async def test_what_the_api_answers(
    sender: SlackSender, slack: SlackServer, status: int, said: str, kind: str, verdict: str, error: str
) -> None:
    slack.replies.append(Reply(status=status, body=said, content_type=kind))
    outcome = await sender.send(due(body(INQUIRY), "slack:channel:C1"))
    assert (outcome.verdict, outcome.status_code) == (verdict, status)
    assert outcome.error == f"Slack refused the message: {error}"


async def test_a_wrong_token_is_never_right(slack: SlackServer) -> None:
    wrong = SlackSender({"bot": Destination(slack_token="xoxb-old", slack_api_url=f"{slack.url}/api")}, 5.0)
    outcome = await wrong.send(due(body(INQUIRY), "slack:channel:C1"))
    await wrong.aclose()
    assert (outcome.verdict, outcome.error) == ("never", "Slack refused the message: invalid_auth")


async def test_without_an_answer_it_is_tried_again(slack: SlackServer, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = f"http://127.0.0.1:{free_port()}{SECRET_PATH}"
    impatient = SlackSender(
        {"hangs": Destination(slack_webhook=slack.url + SECRET_PATH), "gone": Destination(slack_webhook=gone)}, 0.3
    )
    slack.replies.append(Reply(hang=True))
    hanging = await impatient.send(due(body(INQUIRY), "slack:webhook:hangs"))
    refused = await impatient.send(due(body(INQUIRY), "slack:webhook:gone"))
    unknown = await impatient.send(due(body(INQUIRY), "slack:webhook:other"))
    botless = await impatient.send(due(body(INQUIRY), "slack:channel:C1"))
    await impatient.aclose()
    assert {outcome.verdict for outcome in (hanging, refused, unknown, botless)} == {"again"}
    assert hanging.error == "Slack gave no complete answer within 0.3 s"
    assert refused.error == "Slack cannot be reached: ClientConnectorError"
    assert unknown.error == botless.error == "this worker's ringback.toml has no such destination"
    assert "geheim" not in repr((hanging, refused))


async def test_messages_to_one_channel_take_turns(slack: SlackServer) -> None:
    slow = SlackSender(
        {
            "a": Destination(slack_webhook=slack.url + "/services/a"),
            "b": Destination(slack_webhook=slack.url + "/services/b"),
        },
        5.0,
        message_s=60.0,
    )
    first = await slow.send(due(body(INQUIRY), "slack:webhook:a", "msg_1"))
    second = await slow.send(due(body(INQUIRY), "slack:webhook:a", "msg_2"))
    other = await slow.send(due(body(INQUIRY), "slack:webhook:b", "msg_3"))
    await slow.aclose()
    assert (first.verdict, second.verdict, other.verdict) == ("delivered", "again", "delivered")
    assert 50.0 < second.pause_s <= 60.0
