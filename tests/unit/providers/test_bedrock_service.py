"""Bedrock's errors, configuration and connections."""

import asyncio
import datetime as dt
import ipaddress
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import cast

import msgspec
import pytest

from amazon import calls
from providers import errors
from providers.bedrock.client import BedrockService
from providers.service import Answer, Delta, Metered, Tool, ToolCall
from ringback.testing.script import Script
from ringback.testing.vendors import eventstream
from ringback.testing.vendors.server import VendorServer
from tests.unit.providers.asks import ask, collect
from tests.unit.providers.bedrock_server import Raw, chunked, event, served

MODEL = "anthropic.claude-sonnet-4-5-20250929-v1:0"
ASK = ask(MODEL, "안녕하세요? 주문 조회 부탁드립니다.")
_UNSET = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_BEARER_TOKEN_BEDROCK",
    "AWS_ENDPOINT_URL",
    "AWS_DEFAULT_REGION",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
)


@pytest.fixture
def aws(vendor_server: VendorServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment that leads boto3 to the vendor server, and nowhere else."""
    for name in _UNSET:
        monkeypatch.delenv(name, raising=False)
    for name, value in vendor_server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return monkeypatch


@pytest.fixture
async def service(aws: pytest.MonkeyPatch) -> AsyncIterator[BedrockService]:
    """A service in that environment."""
    made = BedrockService()
    yield made
    await made.aclose()


def closable(items: AsyncIterator[Delta | Metered | Answer]) -> AsyncGenerator[Delta | Metered | Answer, None]:
    """The same stream with its `aclose()`."""
    return cast("AsyncGenerator[Delta | Metered | Answer, None]", items)


TOOL_USE = {"toolUseId": "t1", "name": "weather", "input": {"city": "서울"}}
TEXT = event("contentBlockDelta", contentBlockIndex=0, delta={"text": "네."})


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("throttlingException", errors.RateLimited),
        ("serviceUnavailableException", errors.Overloaded),
        ("internalServerException", errors.Unavailable),
        ("modelStreamErrorException", errors.Unavailable),
        ("validationException", errors.BadRequest),
        ("modelTimeoutException", errors.TimedOut),  # which the API's description does not list for streams
        ("brandNewException", errors.Unavailable),
    ],
)
async def test_errors_in_mid_stream(aws: pytest.MonkeyPatch, code: str, expected: type[errors.ProviderError]) -> None:
    raw = Raw(chunked(TEXT, eventstream.exception(code, b'{"message":"So it is."}')))
    async with served(raw, aws) as service, aclosing(closable(service.stream(ASK))) as items:
        assert await anext(items) == Delta("네.")
        with pytest.raises(errors.ProviderError, match=r"So it is\.") as caught:
            await anext(items)

    assert type(caught.value) is expected


async def test_an_error_frame_without_a_type(aws: pytest.MonkeyPatch) -> None:
    headers = {":message-type": "error", ":error-code": "ThrottlingException", ":error-message": "Slow down."}
    async with served(Raw(chunked(TEXT, eventstream.frame(headers, b""))), aws) as service:
        with pytest.raises(errors.RateLimited, match="Slow down"):
            await collect(service, ASK)


@pytest.mark.parametrize(
    "frames",
    [
        (TEXT[:-1] + b"\x00",),  # checksum
        (b"\x00" * 40,),
        (event("contentBlockDelta"),),
        (eventstream.event("messageStop", b"\xff\xfe"),),
    ],
)
async def test_frames_that_are_none(aws: pytest.MonkeyPatch, frames: tuple[bytes, ...]) -> None:
    async with served(Raw(chunked(*frames)), aws) as service:
        with pytest.raises(errors.MalformedAnswer):
            await collect(service, ASK)


async def test_a_request_that_boto3_refuses_names_no_values(aws: pytest.MonkeyPatch) -> None:
    service = BedrockService()
    with pytest.raises(errors.BadRequest) as caught:
        await service.generate(ask("", "비밀번호는 4711입니다."))
    await service.aclose()

    assert "4711" not in str(caught.value)


async def test_region_may_come_from_either_variable(aws: pytest.MonkeyPatch, vendor_server: VendorServer) -> None:
    aws.setenv("AWS_DEFAULT_REGION", "eu-north-1")
    for region in ("ap-northeast-2", None):
        if region is None:
            aws.delenv("AWS_REGION")
        else:
            aws.setenv("AWS_REGION", region)
        service = BedrockService()
        await service.generate(ASK)
        await service.aclose()
        assert f"/{region or 'eu-north-1'}/bedrock/" in vendor_server.received[-1].headers["authorization"]


async def test_without_a_region(aws: pytest.MonkeyPatch) -> None:
    aws.delenv("AWS_REGION")
    service = BedrockService()
    for call in (service.generate(ASK), service.warm_up()):
        with pytest.raises(errors.BadRequest, match="AWS_REGION"):
            await call
    await service.aclose()


async def test_without_credentials(aws: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        aws.delenv(name)
    service = BedrockService()
    with pytest.raises(errors.AuthenticationFailed, match="AWS_ACCESS_KEY_ID"):
        await service.generate(ASK)
    await service.aclose()


async def test_without_the_profile(aws: pytest.MonkeyPatch) -> None:
    aws.setenv("AWS_PROFILE", "nobody")
    service = BedrockService()
    with pytest.raises(errors.AuthenticationFailed, match="nobody"):
        await service.generate(ASK)
    await service.aclose()


async def test_an_endpoint_that_is_none(aws: pytest.MonkeyPatch) -> None:
    aws.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "no url")
    service = BedrockService()
    with pytest.raises(errors.BadRequest, match="no url"):
        await service.generate(ASK)
    await service.aclose()


async def test_retry_settings_of_the_environment_are_not_ours(
    aws: pytest.MonkeyPatch, service: BedrockService, vendor_server: VendorServer
) -> None:
    aws.setenv("AWS_MAX_ATTEMPTS", "5")
    aws.setenv("AWS_RETRY_MODE", "adaptive")
    vendor_server.script(Script(fault="rate_limited"))

    with pytest.raises(errors.RateLimited):
        await service.generate(ASK)

    assert len(vendor_server.received) == 1


async def test_an_arn_is_one_path_segment(service: BedrockService, vendor_server: VendorServer) -> None:
    arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/ab12cd34ef56"

    whole = await service.generate(ask(arn, "네?"))
    _, streamed = await collect(service, ask(arn, "네?"))

    assert whole == streamed
    assert [received.model for received in vendor_server.received] == [arn, arn]


async def test_two_hundred_calls_run_at_once(service: BedrockService, vendor_server: VendorServer) -> None:
    """All arrive while none is answered; and all are given up at once."""
    vendor_server.script(Script(fault="hang"))
    calls = [asyncio.create_task(service.generate(ASK)) for _ in range(200)]

    await vendor_server.wait_received(200, timeout=60)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)

    assert all(call.cancelled() for call in calls)
    await vendor_server.wait_disconnected(200, timeout=30)


async def test_connections_are_used_again(aws: pytest.MonkeyPatch) -> None:
    raw = Raw(chunked(TEXT, event("messageStop", stopReason="end_turn")))
    async with served(raw, aws) as service:
        for _ in range(5):
            await collect(service, ASK)

    assert (raw.requests, raw.connections) == (5, 1)


async def test_a_response_without_length_ends_with_its_connection(aws: pytest.MonkeyPatch) -> None:
    """So do proxies of HTTP/1.0; the socket then no longer hangs on the connection, and must be found all the same."""
    frames = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + TEXT * 2000
    raw = Raw(frames, then_wait=True)
    async with served(raw, aws) as service:
        async with aclosing(closable(service.stream(ASK))) as items:
            assert await anext(items) == Delta("네.")
        async with asyncio.timeout(10):
            await raw.gone.wait()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and its self-signed certificate for 127.0.0.1, in one PEM file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture(scope="module")
def tls(certificate: Path) -> ssl.SSLContext:
    """A server's side of TLS with that certificate."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(certificate)
    return made


async def test_a_bearer_token_will_do(aws: pytest.MonkeyPatch, certificate: Path, tls: ssl.SSLContext) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        aws.delenv(name)
    aws.setenv("AWS_BEARER_TOKEN_BEDROCK", "bedrock-api-key-1")
    aws.setenv("AWS_CA_BUNDLE", str(certificate))
    raw = Raw(chunked(TEXT, event("messageStop", stopReason="end_turn")))
    async with served(raw, aws, tls) as service:
        await collect(service, ASK)

    assert b"\r\nauthorization: bearer bedrock-api-key-1\r\n" in raw.head.lower()


@pytest.mark.parametrize("answer", [b"", chunked(TEXT, ended=False)], ids=["before-headers", "mid-stream"])
async def test_cancelling_closes_tls_connections_too(aws: pytest.MonkeyPatch, certificate: Path, answer: bytes) -> None:
    aws.setenv("AWS_CA_BUNDLE", str(certificate))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    raw = Raw(answer, then_wait=True)
    async with served(raw, aws, tls) as service:
        async with asyncio.timeout(20):
            task = asyncio.create_task(collect(service, ASK))
            await raw.asked.wait()
            assert not raw.gone.is_set()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await raw.gone.wait()


async def test_opening_a_connection_has_a_limit(aws: pytest.MonkeyPatch) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    aws.setattr(calls, "CONNECT_S", 0.2)
    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    aws.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", f"https://127.0.0.1:{port}")  # whose TLS never begins
    service = BedrockService()
    async with server, asyncio.timeout(20):
        with pytest.raises(errors.ConnectionFailed):
            await service.generate(ASK)
        await service.aclose()


async def test_closing_the_service_ends_its_calls(service: BedrockService, vendor_server: VendorServer) -> None:
    vendor_server.script(Script(fault="hang"))
    task = asyncio.create_task(service.generate(ASK))
    await vendor_server.wait_received()

    await service.aclose()

    with pytest.raises(errors.ConnectionFailed):
        async with asyncio.timeout(10):
            await task
    await vendor_server.wait_disconnected()


async def test_a_model_s_name_may_say_the_region(aws: pytest.MonkeyPatch) -> None:
    raw = Raw(chunked(TEXT, event("messageStop", stopReason="end_turn")))
    async with served(raw, aws) as service:
        signed = []
        for model in (MODEL, f"{MODEL}@eu-west-1", f"{MODEL}@ap-northeast-2", MODEL):
            _, answer = await collect(service, ask(model, "안녕하세요?"))
            assert answer.model == MODEL
            assert f"/model/{MODEL}/".replace(":", "%3A").encode() in raw.head
            signed.append(raw.head.decode().partition("Credential=")[2].split("/")[2])

    assert signed == ["us-east-1", "eu-west-1", "ap-northeast-2", "us-east-1"]


async def test_a_region_that_is_none_is_told(service: BedrockService) -> None:
    with pytest.raises(errors.ModelNotFound, match="nirgends!"):
        await service.generate(ask(f"{MODEL}@nirgends!", "안녕하세요?"))


async def test_the_region_is_known_without_boto3(aws: pytest.MonkeyPatch, tmp_path: Path) -> None:
    service = BedrockService()
    assert service.region(f"{MODEL}@eu-west-1") == "eu-west-1"
    assert service.region(MODEL) == "us-east-1"
    aws.delenv("AWS_REGION")
    aws.setenv("AWS_DEFAULT_REGION", "sa-east-1")
    assert service.region(MODEL) == "sa-east-1"
    aws.delenv("AWS_DEFAULT_REGION")
    assert service.region(MODEL) == ""

    (tmp_path / "config").write_text("[default]\nregion = eu-north-1\n")
    await service.generate(ask(MODEL, "안녕하세요?"))

    assert service.region(MODEL) == "eu-north-1"
    await service.aclose()


async def test_tools_that_a_model_does_not_stream_come_with_the_whole_answer(aws: pytest.MonkeyPatch) -> None:
    """Llama's way; that it must be asked so is remembered."""
    paths: list[str] = []
    refusal = msgspec.json.encode({"message": "This model doesn't support tool use in streaming mode."})
    called = msgspec.json.encode(
        {
            "output": {"message": {"role": "assistant", "content": [{"toolUse": TOOL_USE}]}},
            "stopReason": "tool_use",
            "usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5},
        }
    )

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
        paths.append(head.split()[1].decode().rpartition("/")[2])
        streamed = paths[-1] == "converse-stream"
        status, body = (b"400 X\r\nx-amzn-errortype: ValidationException", refusal) if streamed else (b"200 X", called)
        writer.write(b"HTTP/1.1 %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b" % (status, len(body), body))
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        aws.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        service = BedrockService()
        tool = Tool(name="weather", description="", parameters={"type": "object"})
        for _ in range(2):
            deltas, answer = await collect(service, ask("us.meta.llama4-scout", "날씨?", tools=(tool,)))
            assert (deltas, answer.finish) == ([], "tool_calls")
            assert answer.tool_calls == (ToolCall("t1", "weather", {"city": "서울"}),)
        with pytest.raises(errors.BadRequest, match="streaming mode"):
            await collect(service, ask("us.meta.llama4-scout", "날씨?"))
        await service.aclose()

    assert paths == ["converse-stream", "converse", "converse", "converse-stream"]
