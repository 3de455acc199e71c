"""Named destinations: which URL belongs to which, who signs, and what a wrong one is told."""

import base64
import time
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from jobs import destinations, errors, settings, signing
from jobs.destinations import Destinations
from jobs.settings import Destination, Settings

OURS, BEFORE, THEIRS, EARLIER = (f"whsec_{base64.b64encode(bytes([n]) * 32).decode()}" for n in range(4))
KEY = signing.new_signing_key()
BODY = '{"type":"job.succeeded","주문":4711}'.encode()


def named(**made: Destination) -> Destinations:
    """These destinations, under a global secret that rotates."""
    return Destinations(Settings(webhook_secret=OURS, webhook_previous_secret=BEFORE, destinations=made))


def verified_by(found: Destinations, url: str) -> set[str]:
    """The secrets with which an independent implementation verifies a callback to `url`."""
    at = int(time.time())
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(at),
        "webhook-signature": found.signer(url).signature("msg_1", at, BODY),
    }
    verified = set()
    for secret in (OURS, BEFORE, THEIRS, EARLIER):
        try:
            Webhook(secret).verify(BODY, headers)
            verified.add(secret)
        except WebhookVerificationError:
            continue
    return verified


@pytest.mark.parametrize(
    ("beginning", "url", "belongs"),
    [
        ("https://orders.example", "https://orders.example", True),
        ("https://orders.example", "https://orders.example/hook?x=1", True),
        ("https://orders.example/", "https://orders.example?x=1", True),
        ("https://orders.example", "https://ORDERS.example.:443/hook", True),
        ("https://orders.example", "https://orders.example/a/../b", True),
        ("https://orders.example/hooks", "https://orders.example/hooks", True),
        ("https://orders.example/hooks/", "https://orders.example/hooks/ai", True),
        ("https://orders.example/hooks", "https://orders.example/hooksome", False),
        ("https://orders.example/hooks", "https://orders.example/hooks/../admin", False),
        ("https://orders.example/hooks", "https://orders.example/hooks/%2E%2e/admin", False),
        ("https://orders.example/hooks", "https://orders.example/Hooks", False),
        ("https://orders.example", "https://orders.example.evil.com/", False),
        ("https://orders.example", "https://orders.example@evil.com/", False),
        ("https://orders.example", "https://evil.com/https://orders.example", False),
        ("https://orders.example", "http://orders.example/", False),
        ("https://orders.example", "https://orders.example:8443/", False),
        ("https://orders.example:8443", "https://orders.example:8443/x", True),
        ("https://orders.example", "https://orders.example:x/", False),
        ("https://orders.example", "slack:webhook:orders", False),
        ("https://orders.example", "", False),
    ],
)
def test_a_url_belongs_to_a_beginning_at_whole_parts_only(beginning: str, url: str, belongs: bool) -> None:
    assert destinations.covers(beginning, url) is belongs


def test_the_longest_beginning_wins() -> None:
    found = named(
        all=Destination(url="https://orders.example/"),
        hooks=Destination(url="https://orders.example/hooks"),
        deep=Destination(url="https://orders.example/hooks/ai/", concurrency=3),
    )
    assert found.name_of("https://orders.example/other") == "all"
    assert found.name_of("https://orders.example/hooks/x") == "hooks"
    assert found.name_of("https://orders.example/hooks/ai/1") == "deep"
    assert found.of("https://orders.example/hooks/ai/1").concurrency == 3
    assert found.name_of("https://else.example/hooks/ai/1") == ""
    assert found.of("https://else.example/hooks/ai/1") == Destination()


def test_other_kinds_are_found_by_name() -> None:
    found = named(
        desk=Destination(slack_webhook="https://hooks.slack.com/services/x"),
        bot=Destination(slack_token="xoxb-1", per_second=0.5),
        archive=Destination(database_url="sqlite://", concurrency=2),
    )
    assert found.name_of("slack:webhook:desk") == "desk"
    assert found.name_of("slack:channel:#문의") == "bot"
    assert found.of("slack:channel:C1").per_second == 0.5
    assert found.of("database:archive").concurrency == 2
    assert found.of("database:gone") == Destination()


def test_limits_are_shared_by_what_leads_to_one_place() -> None:
    found = named(hooks=Destination(url="https://orders.example/hooks"))
    assert found.key("https://orders.example/hooks/1") == found.key("https://orders.example/hooks/2?x")
    assert found.key("https://orders.example/other") == "https://orders.example:443"
    assert found.key("https://orders.example:443/x?y") == "https://orders.example:443"
    assert found.key("http://orders.example") == "http://orders.example:80"
    assert found.key("slack:channel:a") != found.key("slack:channel:b")


def test_a_callback_is_signed_with_the_secret_of_its_destination() -> None:
    found = named(
        theirs=Destination(url="https://theirs.example", secret=THEIRS),
        moving=Destination(url="https://moving.example", secret=THEIRS, previous_secret=EARLIER),
        back=Destination(url="https://back.example", previous_secret=EARLIER),
    )
    assert verified_by(found, "https://any.example/hook") == {OURS, BEFORE}
    assert verified_by(found, "https://theirs.example/hook") == {THEIRS}
    assert verified_by(found, "https://moving.example/hook") == {THEIRS, EARLIER}
    assert verified_by(found, "https://back.example/hook") == {OURS, BEFORE, EARLIER}
    assert verified_by(found, "https://theirs.example.evil.com/hook") == {OURS, BEFORE}


def test_an_ed25519_signature_rides_along() -> None:
    found = named(signed=Destination(url="https://signed.example", signing_key=KEY))
    first, second, third = found.signer("https://signed.example/x").signature("msg_1", 1234, BODY).split(" ")
    assert (first[:3], second[:3], third[:4]) == ("v1,", "v1,", "v1a,")
    assert signing.public_key(KEY).startswith("whpk_")
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(signing.public_key(KEY).removeprefix("whpk_")))
    signature = base64.b64decode(third.removeprefix("v1a,"), validate=True)
    public.verify(signature, b"msg_1.1234." + BODY)
    with pytest.raises(InvalidSignature):
        public.verify(signature, b"msg_1.1235." + BODY)
    assert verified_by(found, "https://signed.example") == {OURS, BEFORE}  # who knows only v1 is not disturbed


def test_nothing_is_sent_unsigned() -> None:
    with pytest.raises(errors.ConfigurationError, match="RINGBACK_WEBHOOK_SECRET"):
        Destinations(Settings()).signer("https://any.example")


def test_a_previous_secret_that_is_none_stops_the_start() -> None:
    with pytest.raises(errors.ConfigurationError, match="RINGBACK_WEBHOOK_PREVIOUS_SECRET"):
        Destinations(Settings(webhook_secret=OURS, webhook_previous_secret="whsec_x"))


URL = 'url = "https://a.example"\n'


@pytest.mark.parametrize(
    ("toml", "named_in_it"),
    [
        ("", "destinations.x: exactly one of url"),
        (URL + 'database_url = "sqlite://"', "destinations.x: exactly one of url"),
        (URL + 'secret = "whsec_x"', "destinations.x.secret"),
        (URL + 'previous_secret = "swordfish"', "destinations.x.previous_secret"),
        (URL + 'signing_key = "whsk_AAAA"', "destinations.x.signing_key"),
        (URL + f'signing_key = "{OURS}"', "destinations.x.signing_key"),
        (URL + "concurrency = 0", "destinations.x.concurrency"),
        (URL + "per_second = -1", "destinations.x.per_second"),
        (URL + "per_second = nan", "destinations.x.per_second"),
        (URL + "per_second = inf", "destinations.x.per_second"),
        ('url = "a.example"', "destinations.x.url"),
        ('url = "ftp://a.example"', "destinations.x.url"),
        ('url = "https://a.example:0"', "destinations.x.url"),
        ('url = "https://a.example:x"', "destinations.x.url"),
        ('url = "https://a.example?x=1"', "destinations.x.url"),
        ('url = "https://a.example/a/../b"', "destinations.x.url"),
        ('url = "https://me@a.example"', "destinations.x.url"),
        ('slack_webhook = "hooks.slack.com"', "destinations.x.slack_webhook"),
        ('slack_token = "xoxb-1"\n[destinations.y]\nslack_token = "xoxb-2"', "at most one may have a slack_token"),
        (URL + "colour = 1", "unknown field `colour`"),
    ],
)
def test_a_wrong_destination_is_told_where_it_stands(tmp_path: Path, toml: str, named_in_it: str) -> None:
    file = tmp_path / "ringback.toml"
    file.write_text(f"[destinations.x]\n{toml}\n", encoding="utf-8")
    with pytest.raises(errors.ConfigurationError) as raised:
        settings.load({"RINGBACK_CONFIG": str(file), "HOME": str(tmp_path)})
    assert named_in_it in raised.value.detail
    assert "swordfish" not in raised.value.detail


def test_a_right_one_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "ringback.toml"
    file.write_text(
        f'[destinations.orders]\nurl = "https://orders.example/.well-known/hooks"\nsecret = "{THEIRS}"\n'
        f'previous_secret = "{EARLIER}"\nsigning_key = "{KEY}"\nconcurrency = 4\nper_second = 0.5\n',
        encoding="utf-8",
    )
    loaded = settings.load({"RINGBACK_CONFIG": str(file), "HOME": str(tmp_path)})
    assert loaded.destinations["orders"].per_second == 0.5
