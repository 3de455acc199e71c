"""What the pages of other sites in a browser on this machine can do where API keys are off: nothing."""

import msgspec
import pytest

from tests.integration.gateway.conftest import Gateways, post, submit
from tests.integration.gateway.test_contract import check_problem
from tests.stack import request

BODY = msgspec.json.encode({"type": "generate", "input": {"prompt": "안녕"}, "model": "fake/echo"})
SIMPLE = {"content-type": "text/plain"}
"""What a browser sends to anybody without asking first."""


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "anything"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://127.0.0.1"},
        {"Origin": "http://localhost:8000"},
    ],
    ids=str,
)
def test_a_page_of_another_site_changes_nothing(gateways: Gateways, headers: dict[str, str]) -> None:
    before = len(request(f"{gateways.url}/v1/jobs?limit=200").json["items"])
    job = submit(gateways.url).json["id"]
    for reply in (
        post(gateways.url, BODY, SIMPLE | headers),
        request(f"{gateways.url}/v1/jobs/{job}/cancel", method="POST", headers=headers),
    ):
        problem = check_problem(reply, 403, "cross_site_request")
        named = "Sec-Fetch-Site" if "Sec-Fetch-Site" in headers else "Origin"
        assert named in problem["detail"]
        assert "RINGBACK_API_KEYS" in problem["detail"]
    assert request(f"{gateways.url}/v1/jobs/{job}").json["status"] == "queued"
    assert len(request(f"{gateways.url}/v1/jobs?limit=200").json["items"]) == min(before + 1, 200)


def test_pages_of_this_server_and_programs_may(gateways: Gateways) -> None:
    for headers in (
        {},
        {"Sec-Fetch-Site": "same-origin", "Origin": gateways.url},
        {"Sec-Fetch-Site": "none"},
        {"Origin": gateways.url},
        {"Origin": gateways.url.upper()},
    ):
        assert post(gateways.url, BODY, SIMPLE | headers).status == 202, headers


def test_a_link_of_another_site_may_be_followed(gateways: Gateways) -> None:
    assert request(f"{gateways.url}/v1/job-types", headers={"Sec-Fetch-Site": "cross-site"}).status == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example", "a.b.", "[::1", "."])
def test_a_domain_that_was_made_to_resolve_to_this_machine_reads_nothing(gateways: Gateways, host: str) -> None:
    host = host.format(port=gateways.url.rpartition(":")[2])
    for reply in (
        request(f"{gateways.url}/v1/jobs", headers={"Host": host}),
        post(gateways.url, BODY, SIMPLE | {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}),
    ):
        assert "RINGBACK_ALLOWED_HOSTS" in check_problem(reply, 403, "host_not_allowed")["detail"]


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST.:80", "ringback", "gateway:8000", "api.localhost", "127.0.0.1:1", "[::1]:80", "10.1.2.3"],
)
def test_no_stranger_can_have_these_names(gateways: Gateways, host: str) -> None:
    assert request(f"{gateways.url}/v1/jobs", headers={"Host": host}).status == 200


def test_further_names_can_be_allowed(gateways: Gateways) -> None:
    url = gateways.gateway(RINGBACK_ALLOWED_HOSTS="ringback.internal, AI.example.com")
    for host, status in (("ringback.internal", 200), ("ai.example.com:443", 200), ("example.com", 403)):
        assert request(f"{url}/v1/jobs", headers={"Host": host}).status == status


def test_where_keys_are_asked_for_they_are_what_counts(gateways: Gateways) -> None:
    url = gateways.gateway(RINGBACK_API_KEYS="required")
    headers = {"Host": "ringback.example.com", "Origin": "https://app.example.com"}
    check_problem(post(url, BODY, headers), 401, "unauthorized")
