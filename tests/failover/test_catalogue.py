"""Every fault of every vendor, judged from both sides: what the caller got, and what the providers saw."""

import os

import pytest

from ringback.testing.script import Vendor
from tests.failover import document
from tests.failover.cases import CASES, Case
from tests.failover.catalogue import NEXT, Seen, model, text_of

everything = pytest.mark.parametrize(
    ("case", "vendor"),
    [pytest.param(case, vendor, id=f"{case.name}-{vendor}") for case in CASES for vendor in case.vendors],
)


@everything
def test_the_caller_gets_an_answer_or_an_honest_error(
    case: Case, vendor: Vendor, seen: dict[tuple[str, Vendor], Seen]
) -> None:
    found, expected = seen[case.name, vendor], case.expected
    job = found.job
    assert (job["error"] or {}).get("code") == expected.code, job["error"]
    assert job["status"] == ("failed" if expected.code else "succeeded")
    if (text := text_of(expected.answered_by)) is not None:
        assert job["output"] == {"text": text}
        assert found.streamed == text, "never a gap, never a repeat"
        answered = vendor if expected.answered_by == "it" else NEXT[vendor]
        assert job["provider"] == answered, "who answered is told"
    assert found.resets == expected.restarted
    assert [name for name, _ in found.events][-1] == f"job.{job['status']}"


@everything
def test_the_providers_are_asked_as_often_as_it_takes_and_no_more(
    case: Case, vendor: Vendor, seen: dict[tuple[str, Vendor], Seen]
) -> None:
    found, expected = seen[case.name, vendor], case.expected
    assert (len(found.calls), found.next_calls) == (expected.calls, expected.next_calls)
    assert found.spacing_s >= expected.spacing_s


@everything
def test_every_call_is_accounted_for(case: Case, vendor: Vendor, seen: dict[tuple[str, Vendor], Seen]) -> None:
    found = seen[case.name, vendor]
    calls = found.job["calls"]
    assert [call["model"] for call in calls] == [f"{vendor}/{model(case, vendor)}"] * len(found.calls) + [
        f"{NEXT[vendor]}/after-{model(case, vendor)}"
    ] * found.next_calls
    for field in ("input_tokens", "output_tokens"):
        assert found.job["usage"][field] == sum(call["usage"][field] for call in calls)
    failed = [call for call in calls if call["outcome"] != "answered"]
    assert all(call["error"] for call in failed)


def test_the_document_says_what_was_seen(seen: dict[tuple[str, Vendor], Seen]) -> None:
    made = document.table(seen)
    if os.environ.get("FAILOVER_DOC") == "write":
        document.write(made)
    assert document.written() == made, "FAILOVER_DOC=write make test ARGS=tests/failover writes it anew"
