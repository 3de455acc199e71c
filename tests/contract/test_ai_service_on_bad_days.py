"""What every `AIService` must do when the vendor fails, when its caller has heard enough, and under load."""

import asyncio
import contextlib
import traceback
from typing import get_args

import pytest

from providers import errors
from providers.service import AIService, Answer, Delta, Message, Text
from ringback.testing.script import Fault, Script, ToolUse
from ringback.testing.vendors.server import VendorServer
from tests.contract.asking import (
    ENDLESS,
    SCRIPT,
    SECRET,
    SYSTEM,
    Item,
    Way,
    ask_of,
    both_ways,
    closable,
    collect_into,
    streamed,
    user,
    whole,
)
from tests.contract.case import HARMLESS, SILENT, STREAMED, WHOLE, Case, Expected

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def fails(
    way: Way, wired: Case, service: AIService, server: VendorServer, script: Script, expected: Expected
) -> None:
    """Asks, and checks the error: its class, its hints, what it must not tell, and that nobody tried twice."""
    server.script(script)
    with pytest.raises(errors.ProviderError) as caught:
        async with asyncio.timeout(15):
            await way(service, ask_of(wired, system=SYSTEM))

    error = caught.value
    assert type(error) is expected.error, error
    assert error.provider == wired.provider
    assert error.retry_after == (script.retry_after if expected.retry_after else None)
    told = "".join(traceback.format_exception(error)) + repr(error) + error.detail
    for secret in (SECRET, *(value for name, value in server.environment().items() if "KEY" in name)):
        assert secret not in told
    assert "<" not in error.detail, "a proxy's page is no reason"
    assert len(server.received) == 1


async def test_no_fault_is_left_out() -> None:
    assert {*WHOLE, *SILENT, *HARMLESS, "rejects_prefill"} == set(get_args(Fault))


@pytest.mark.parametrize("fault", WHOLE)
async def test_fault_of_a_whole_answer(
    wired: Case, fault: Fault, service: AIService, vendor_server: VendorServer
) -> None:
    script = Script(fault=fault, retry_after=7)
    await fails(whole, wired, service, vendor_server, script, (WHOLE | dict(wired.whole))[fault])


@pytest.mark.parametrize("fault", STREAMED)
async def test_fault_of_a_streamed_answer(
    wired: Case, fault: Fault, service: AIService, vendor_server: VendorServer
) -> None:
    script = Script(fault=fault, retry_after=7)
    expected = (STREAMED | dict(wired.streamed))[fault]
    await fails(streamed, wired, service, vendor_server, script, expected)


@pytest.mark.parametrize("fault", ["cut", "error_in_stream", "malformed_event", "malformed_delta", "no_finish"])
async def test_text_before_a_fault_in_mid_stream_is_delivered(
    wired: Case, fault: Fault, service: AIService, vendor_server: VendorServer
) -> None:
    vendor_server.script(Script(deltas=SCRIPT.deltas, fault=fault, fault_after=2, delta_s=0.05))
    seen: list[Item] = []

    with pytest.raises(errors.ProviderError):
        await collect_into(seen, service.stream(ask_of(wired)))

    assert not any(isinstance(item, Answer) for item in seen), "a broken answer is none"
    said = "".join(item.text for item in seen if isinstance(item, Delta))
    assert said == ("".join(SCRIPT.deltas) if fault == "no_finish" else "".join(SCRIPT.deltas[:2]))


@pytest.mark.parametrize("fault", HARMLESS)
@pytest.mark.parametrize(
    "tools", [(), (ToolUse(id="c", name="weather", arguments={"city": "서울"}),)], ids=["text", "tools"]
)
@both_ways
async def test_what_takes_nothing_from_an_answer(
    wired: Case, way: Way, fault: Fault, tools: tuple[ToolUse, ...], service: AIService, vendor_server: VendorServer
) -> None:
    vendor_server.script(Script(deltas=SCRIPT.deltas, tool_calls=tools, fault=fault))

    async with asyncio.timeout(10):
        answer = await way(service, ask_of(wired))

    assert answer.text == SCRIPT.text
    assert answer.finish == ("tool_calls" if tools else "stop")
    assert [call.arguments for call in answer.tool_calls] == [tool.arguments for tool in tools]
    if fault == "open_end" and way is streamed:
        await vendor_server.wait_disconnected()


async def test_an_open_end_costs_no_later_answer(wired: Case, service: AIService, vendor_server: VendorServer) -> None:
    vendor_server.enqueue(Script(fault="open_end"), Script(fault="no_end_mark"))

    for _ in range(4):
        assert (await streamed(service, ask_of(wired))).text == Script().text


@both_ways
async def test_a_rejected_prefill_is_no_bad_request(
    wired: Case, way: Way, service: AIService, vendor_server: VendorServer
) -> None:
    """Another target may take it."""
    vendor_server.script(Script(fault="rejects_prefill"))
    begun = (user(Text("하나부터 셋까지 세세요.")), Message(role="assistant", parts=(Text("하나, "),)))

    with pytest.raises(errors.Unsupported):
        await way(service, ask_of(wired, messages=begun))
    assert (await way(service, ask_of(wired))).text == Script().text


@both_ways
async def test_nobody_there(
    wired: Case, way: Way, service: AIService, vendor_server: VendorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in vendor_server.environment().items():
        if value.startswith("http"):
            monkeypatch.setenv(name, value.replace(vendor_server.url, "http://127.0.0.1:9"))
    elsewhere = wired.make()
    try:
        with pytest.raises(errors.ConnectionFailed):
            await way(elsewhere, ask_of(wired))
    finally:
        await elsewhere.aclose()


@both_ways
async def test_works_again_after_faults(wired: Case, way: Way, service: AIService, vendor_server: VendorServer) -> None:
    for fault in ("reset", "rate_limited", "cut"):
        vendor_server.enqueue(Script(fault=fault))
        with pytest.raises(errors.ProviderError):
            await way(service, ask_of(wired))

        assert (await way(service, ask_of(wired))).text == Script().text


@pytest.mark.parametrize("fault", SILENT)
@both_ways
async def test_caller_s_timeout_ends_a_silent_call(
    wired: Case, way: Way, fault: Fault, service: AIService, vendor_server: VendorServer
) -> None:
    vendor_server.script(Script(fault=fault))
    limit = asyncio.timeout(None)

    async def ask() -> None:
        async with limit:
            await way(service, ask_of(wired))

    task = asyncio.create_task(ask())
    await vendor_server.wait_received()
    limit.reschedule(asyncio.get_running_loop().time())

    with pytest.raises(TimeoutError):
        await task
    await vendor_server.wait_disconnected()


@pytest.mark.parametrize("fault", ["hang", "hang_after_headers", "stall", None])
async def test_cancelling_a_stream_closes_the_connection(
    wired: Case, fault: Fault | None, service: AIService, vendor_server: VendorServer
) -> None:
    """Before the first token, in silence, and while text is coming."""
    vendor_server.script(Script(deltas=ENDLESS.deltas, delta_s=ENDLESS.delta_s, fault=fault))
    seen: list[Item] = []

    task = asyncio.create_task(collect_into(seen, service.stream(ask_of(wired))))
    if fault in ("hang", "hang_after_headers"):
        await vendor_server.wait_received()
    else:
        await vendor_server.wait_until(lambda: sum(isinstance(item, Delta) for item in seen) >= 2, what="two deltas")
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await vendor_server.wait_disconnected()


async def test_closing_the_iterator_closes_the_connection(
    wired: Case, service: AIService, vendor_server: VendorServer
) -> None:
    vendor_server.script(ENDLESS)

    async with contextlib.aclosing(closable(service.stream(ask_of(wired)))) as items:
        await anext(items)

    await vendor_server.wait_disconnected()


async def test_cancelling_a_whole_answer_closes_the_connection(
    wired: Case, service: AIService, vendor_server: VendorServer
) -> None:
    vendor_server.script(Script(fault="stall"))
    task = asyncio.create_task(service.generate(ask_of(wired)))
    await vendor_server.wait_received()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await vendor_server.wait_disconnected()


async def test_fifty_streams_at_once_keep_apart(wired: Case, service: AIService, vendor_server: VendorServer) -> None:
    scripts = [Script(deltas=tuple(f"{n}번 {i} " for i in range(8)), delta_s=0.01) for n in range(50)]
    vendor_server.enqueue(*scripts)

    async with asyncio.timeout(60):
        answers = await asyncio.gather(*(streamed(service, ask_of(wired)) for _ in scripts))

    assert sorted(answer.text for answer in answers) == sorted(script.text for script in scripts)


async def test_no_limit_of_connections_of_its_own(wired: Case, service: AIService, vendor_server: VendorServer) -> None:
    vendor_server.script(Script(fault="hang"))
    tasks = [asyncio.create_task(streamed(service, ask_of(wired))) for _ in range(120)]
    try:
        await vendor_server.wait_received(120, timeout=60)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    await vendor_server.wait_disconnected(120, timeout=30)
