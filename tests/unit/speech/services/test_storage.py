"""Where spoken audio waits: files that go after a while, and objects behind links that expire."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from ringback.testing.speech.script import SpeechScript
from ringback.testing.speech.server import SpeechServer
from speech import errors
from speech.storage import BucketStorage, LocalStorage
from tests.stack import request

JOB = "job_01M803BGRZDM8GVW9FKT2J040B"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[SpeechServer]:
    with SpeechServer() as server:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
            monkeypatch.delenv(name, raising=False)
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
async def bucket(server: SpeechServer) -> AsyncIterator[BucketStorage]:
    storage = BucketStorage("our-audio", kept_s=3600)
    yield storage
    await storage.aclose()


async def test_an_object_is_where_its_link_leads(server: SpeechServer, bucket: BucketStorage) -> None:
    link = await bucket.put(JOB, "0.mp3", b"sound", "audio/mpeg")
    assert server.objects[f"our-audio/ringback/audio/{JOB}/0.mp3"] == b"sound"
    assert "X-Amz-Signature=" in link
    assert "X-Amz-Expires=3600" in link
    assert server.received[0].headers["content-type"] == "audio/mpeg"
    assert (await asyncio.to_thread(request, link)).body == b"sound"


async def test_a_bucket_that_refuses_is_told(server: SpeechServer, bucket: BucketStorage) -> None:
    server.script(SpeechScript(fault="forbidden"), service="s3")
    with pytest.raises(errors.PermissionDenied) as raised:
        await bucket.put(JOB, "0.mp3", b"sound", "audio/mpeg")
    assert raised.value.provider == "s3"


async def test_files_go_after_a_while(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "audio", kept_s=60)
    storage._tidy()  # nothing is there yet
    link = await storage.put(JOB, "0.mp3", b"first", "audio/mpeg")
    assert link == f"/v1/jobs/{JOB}/audio/0.mp3"
    await storage.put(JOB, "0.mp3", b"second", "audio/mpeg")
    directory = tmp_path / "audio" / JOB
    assert [(file.name, file.read_bytes()) for file in directory.iterdir()] == [("0.mp3", b"second")]
    storage._tidy()
    assert directory.is_dir()
    long_ago = time.time() - 61
    os.utime(directory, (long_ago, long_ago))
    storage._tidy()
    assert not directory.exists()


async def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "audio").write_text("a file, of all things")
    with pytest.raises(errors.Unavailable):
        await LocalStorage(tmp_path / "audio", kept_s=60).put(JOB, "0.mp3", b"sound", "audio/mpeg")
