"""Callbacks to destinations besides HTTP: those that exist are taken; others are refused, with the names there are."""

from typing import Any

import msgspec
import pytest

from gateway import openapi
from gateway.submission import Submission
from jobs import errors
from jobs.settings import Destination, Settings
from prompts import registry

CONFIGURED = {
    "support": Destination(slack_webhook="https://hooks.slack.com/services/T/B/geheim"),
    "ops": Destination(slack_webhook="https://hooks.slack.com/services/T/B/geheim"),
    "archive": Destination(database_url="sqlite:////tmp/x.db"),
}
BOT = {"bot": Destination(slack_token="xoxb-geheim")}


def destination(callback: Any, configured: dict[str, Destination]) -> str:
    """Where a job with this callback would deliver."""
    submission = Submission(Settings(destinations=configured, providers=("offline",)), registry.load(None))
    body = msgspec.json.encode({"type": "soften", "input": {"text": "x"}, "callback": callback})
    spec = submission.specify(submission.read(body), "job_1", owner="")
    assert spec.callback
    return spec.callback.destination


@pytest.mark.parametrize(
    ("callback", "found"),
    [
        ({"slack": {"webhook": "support"}}, "slack:webhook:support"),
        ({"slack": {"channel": "#support"}}, "slack:channel:#support"),
        ({"database": "archive", "events": ["job.succeeded"]}, "database:archive"),
    ],
)
def test_what_is_configured_is_taken(callback: Any, found: str) -> None:
    assert destination(callback, CONFIGURED | BOT) == found


@pytest.mark.parametrize(
    ("callback", "code", "pointer", "says"),
    [
        ({"slack": {"webhook": "suport"}}, "unknown_destination", "#/callback/slack/webhook", "known: support, ops"),
        ({"slack": {"webhook": "archive"}}, "unknown_destination", "#/callback/slack/webhook", "known: support, ops"),
        ({"database": "support"}, "unknown_destination", "#/callback/database", "known: archive"),
        ({"slack": {"channel": "#x"}}, "unknown_destination", "#/callback/slack/channel", "slack_token"),
        ({"slack": {}}, "validation_error", "#/callback/slack", "exactly one"),
        ({"slack": {"webhook": "ops", "channel": "#x"}}, "validation_error", "#/callback/slack", "exactly one"),
        ({"slack": {"webhook": "ops"}, "database": "archive"}, "validation_error", "#/callback", "exactly one"),
        ({}, "validation_error", "#/callback", "exactly one"),
    ],
)
def test_what_is_not_is_refused_by_name(callback: Any, code: str, pointer: str, says: str) -> None:
    with pytest.raises(errors.InvalidRequest) as raised:
        destination(callback, CONFIGURED)
    assert raised.value.code == code
    (field,) = raised.value.errors
    assert field.pointer == pointer
    assert says in field.detail
    assert "geheim" not in field.detail


def test_where_there_is_none_it_says_so() -> None:
    with pytest.raises(errors.UnknownDestination, match="there is none here"):
        destination({"database": "archive"}, {})


def test_the_document_says_that_it_is_exactly_one() -> None:
    schemas = openapi.document(registry.load(None))["components"]["schemas"]
    assert schemas["Callback"]["oneOf"] == [{"required": [name]} for name in ("url", "slack", "database")]
    assert schemas["SlackCallback"]["oneOf"] == [{"required": ["webhook"]}, {"required": ["channel"]}]
