"""Results in a real PostgreSQL and a real SQLite: each once, as they came, and every refusal told without secrets."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from jobs import errors
from jobs.settings import Destination
from jobs.store.deliveries import Due
from tests.postgres import PASSWORD, postgres, programs
from tests.stack import free_port
from workers.destinations.database import DatabaseSender, Results
from workers.destinations.service import Outcome

METADATA = '{"z":1,"a":12345678901234567890.10,"text":"\\u0000 한 \\ud83d\\ude00","big":123456789012345678901234567890}'


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    """One server for all tests of this module."""
    installation = programs()
    if installation is None:
        pytest.skip("there is no PostgreSQL in a wheel for this platform")
    with postgres(installation) as url:
        yield url


@pytest.fixture(params=["postgresql", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/results.db"
    found: str = request.getfixturevalue("postgres_url")
    with connected(found) as connection:
        connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        connection.execute(sa.text("CREATE SCHEMA public"))
    return found


@contextmanager
def connected(url: str) -> Iterator[sa.Connection]:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


@pytest.fixture
async def sender(url: str) -> AsyncIterator[DatabaseSender]:
    made = DatabaseSender({"results": Destination(database_url=url)}, 15.0)
    yield made
    await made.aclose()


@pytest.fixture
def results(url: str) -> Iterator[Results]:
    made = Results("results", Destination(database_url=url))
    yield made
    made.dispose()


def due(webhook_id: str = "msg_1", destination: str = "database:results", **job: Any) -> Due:
    fields = {
        "id": "job_1",
        "type": "inquiry",
        "status": "succeeded",
        "created_at": "2026-11-22T01:02:03.456000Z",
        "started_at": "2026-11-22T01:02:04Z",
        "ended_at": None,
        "metadata": msgspec.Raw(METADATA.encode()),
        "output": {"summary": "요약", "softened": "O'Hara; DROP TABLE ringback_results; -- %s :x"},
        "error": None,
    } | job
    body = msgspec.json.encode({"type": "job.succeeded", "timestamp": "2026-11-22T01:02:05Z", "data": fields})
    return Due(
        id="dlv_1",
        job_id="job_1",
        webhook_id=webhook_id,
        sequence=4,
        destination=destination,
        body=body,
        tries=0,
        began_ms=0,
    )


def rows(url: str, statement: str = "SELECT * FROM ringback_results ORDER BY webhook_id") -> list[dict[str, Any]]:
    with connected(url) as connection:
        return [dict(row) for row in connection.execute(sa.text(statement)).mappings()]


async def test_a_result_is_written_once_whatever_is_repeated(
    url: str, sender: DatabaseSender, results: Results
) -> None:
    assert results.create()
    outcomes = await asyncio.gather(*(sender.send(due()) for _ in range(10)), sender.send(due("msg_2")))
    assert outcomes == [Outcome(verdict="delivered")] * 11
    first, second = rows(url)
    assert (first["webhook_id"], second["webhook_id"]) == ("msg_1", "msg_2")
    assert {name: first[name] for name in ("job_id", "event", "sequence", "type", "status", "ended_at", "error")} == {
        "job_id": "job_1",
        "event": "job.succeeded",
        "sequence": 4,
        "type": "inquiry",
        "status": "succeeded",
        "ended_at": None,
        "error": None,
    }


async def test_values_come_back_as_they_were(url: str, sender: DatabaseSender, results: Results) -> None:
    results.create()
    sent = due(error={"code": "output_invalid", "message": "'"})
    await sender.send(sent)
    (row,) = rows(url, "SELECT CAST(metadata AS TEXT) AS metadata, CAST(body AS TEXT) AS body FROM ringback_results")
    assert row == {"metadata": METADATA, "body": sent.body.decode()}
    (row,) = rows(url)
    if url.startswith("sqlite"):
        assert (row["created_at"], row["started_at"]) == ("2026-11-22T01:02:03.456000Z", "2026-11-22T01:02:04.000000Z")
        extracted = "SELECT json_extract(output, '$.summary') AS summary FROM ringback_results"
    else:
        assert row["created_at"] == datetime(2026, 11, 22, 1, 2, 3, 456_000, tzinfo=UTC)
        assert row["received_at"].tzinfo is not None
        extracted = "SELECT output->>'summary' AS summary FROM ringback_results"
    assert rows(url, extracted) == [{"summary": "요약"}]
    assert len(rows(url, "SELECT 1 FROM ringback_results WHERE output IS NOT NULL AND error IS NOT NULL")) == 1


async def test_without_its_table_it_says_how_to_make_it(url: str, sender: DatabaseSender, results: Results) -> None:
    missing = "there is no table ringback_results; `ringback destinations init results` makes it"
    assert await sender.send(due()) == Outcome(verdict="again", error=missing)
    assert results.check() == missing
    assert results.create()
    assert not results.create()
    assert results.check() is None
    assert (await sender.send(due())).verdict == "delivered"


async def test_a_table_for_something_else_is_left_alone(url: str, sender: DatabaseSender, results: Results) -> None:
    with connected(url) as connection:
        connection.execute(sa.text("CREATE TABLE ringback_results (webhook_id TEXT PRIMARY KEY, job_id INTEGER)"))
    with pytest.raises(errors.ConfigurationError, match=r"has no column event, sequence, .*; name another in `table`"):
        results.create()
    assert "has no column event" in (results.check() or "")
    outcome = await sender.send(due())
    assert outcome.verdict != "delivered"
    assert rows(url) == []


async def test_a_row_that_the_table_refuses_is_not_tried_again(
    url: str, sender: DatabaseSender, results: Results
) -> None:
    results.create()
    with connected(url) as connection:
        if url.startswith("sqlite"):
            connection.execute(sa.text("CREATE UNIQUE INDEX once ON ringback_results (job_id)"))
        else:
            connection.execute(sa.text("ALTER TABLE ringback_results ADD CONSTRAINT once UNIQUE (job_id)"))
    assert (await sender.send(due("msg_1"))).verdict == "delivered"
    refused = await sender.send(due("msg_2"))
    told = (
        "SQLite refused: SQLITE_CONSTRAINT_UNIQUE" if url.startswith("sqlite") else "SQLSTATE 23505 (constraint once)"
    )
    assert refused.verdict == "never"
    assert told in (refused.error or "")


async def test_a_value_too_long_is_refused_without_showing_it(postgres_url: str) -> None:
    destination = Destination(database_url=postgres_url, table="narrow")
    made, sender = Results("results", destination), DatabaseSender({"results": destination}, 15.0)
    made.create()
    with connected(postgres_url) as connection:
        connection.execute(sa.text("ALTER TABLE narrow ALTER COLUMN type TYPE varchar(3)"))
    assert await sender.send(due(type="geheim")) == Outcome(verdict="never", error="PostgreSQL refused: SQLSTATE 22001")
    await sender.aclose()
    made.dispose()


async def test_a_schema_may_be_named(postgres_url: str) -> None:
    destination = Destination(database_url=postgres_url.replace("+pg8000", ""), table="reports.ai_results")
    made = Results("results", destination)
    with pytest.raises(errors.ConfigurationError, match="SQLSTATE 3F000"):
        made.create()
    with connected(postgres_url) as connection:
        connection.execute(sa.text("CREATE SCHEMA reports"))
    assert made.create()
    made.insert(due())
    assert len(rows(postgres_url, "SELECT * FROM reports.ai_results")) == 1
    made.dispose()


async def test_wrong_credentials_are_tried_again_and_not_shown(postgres_url: str) -> None:
    wrong = DatabaseSender({"results": Destination(database_url=postgres_url.replace(PASSWORD, "verraten"))}, 15.0)
    outcome = await wrong.send(due())
    await wrong.aclose()
    assert outcome == Outcome(verdict="again", error="PostgreSQL refused: SQLSTATE 28P01")


async def test_a_connection_that_was_cut_is_made_again(postgres_url: str) -> None:
    again = DatabaseSender({"results": Destination(database_url=postgres_url, table="cut")}, 15.0)
    made = Results("results", Destination(database_url=postgres_url, table="cut"))
    made.create()
    assert (await again.send(due("msg_1"))).verdict == "delivered"
    with connected(postgres_url) as connection:
        others = "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        connection.execute(sa.text("SELECT pg_terminate_backend(pid) " + others))
    assert (await again.send(due("msg_2"))).verdict == "delivered"
    await again.aclose()
    made.dispose()


async def test_a_database_that_cannot_be_reached_holds_up_no_other(tmp_path: Path) -> None:
    file = f"sqlite:///{tmp_path}/results.db"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hanging = f"postgresql://ringback:{PASSWORD}@127.0.0.1:{silent.getsockname()[1]}/x"
        gone = f"postgresql://ringback:{PASSWORD}@127.0.0.1:{free_port()}/x"
        sender = DatabaseSender(
            {name: Destination(database_url=url) for name, url in (("h", hanging), ("g", gone), ("f", file))}, 0.5
        )
        made = Results("f", Destination(database_url=file))
        made.create()
        made.dispose()
        waits = [asyncio.create_task(sender.send(due(destination="database:h"))) for _ in range(4)]
        await asyncio.sleep(0)
        assert (await sender.send(due(destination="database:f"))).verdict == "delivered"
        refused = await sender.send(due(destination="database:g"))
        assert refused == Outcome(verdict="again", error="the database cannot be reached: InterfaceError")
        assert await asyncio.gather(*waits) == [Outcome(verdict="again", error="not written within 0.5 s")] * 4
        unknown = await sender.send(due(destination="database:other"))
        assert unknown == Outcome(verdict="again", error="this worker's ringback.toml has no such destination")
        await sender.aclose()


@pytest.mark.parametrize(
    ("said", "error"), [(b"", "InterfaceError"), (b"\xff", "UnicodeDecodeError"), (b"S", "SSLError")]
)
async def test_what_is_no_postgresql_is_tried_again(said: bytes, error: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(8)
                connection.sendall(said + b"\x00nonsense" * bool(said))

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        url = f"postgresql://ringback:{PASSWORD}@127.0.0.1:{server.getsockname()[1]}/x"
        sender = DatabaseSender({"results": Destination(database_url=url)}, 5.0)
        outcome = await sender.send(due())
        await sender.aclose()
        thread.join()
    assert outcome.verdict == "again"
    assert (outcome.error or "").startswith("the database cannot be reached: ")
    assert error in (outcome.error or "") or "Reset" in (outcome.error or "")


async def test_encryption_is_asked_for_as_libpq_spells_it(postgres_url: str) -> None:
    outcomes = []
    for mode in ("disable", "prefer", "require", "verify-full"):
        sender = DatabaseSender(
            {"results": Destination(database_url=f"{postgres_url}?sslmode={mode}", table="tls")}, 5.0
        )
        outcomes.append((await sender.send(due())).error)
        await sender.aclose()
    missing = "there is no table tls; `ringback destinations init results` makes it"
    refused = "the database cannot be reached: InterfaceError"  # this server has no certificate
    assert outcomes == [missing, missing, refused, refused]


async def test_a_file_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    nowhere = DatabaseSender({"results": Destination(database_url=f"sqlite:///{tmp_path}/missing/results.db")}, 5.0)
    assert await nowhere.send(due()) == Outcome(verdict="again", error="SQLite refused: SQLITE_CANTOPEN")
    await nowhere.aclose()


@pytest.mark.parametrize(
    "url",
    [
        *("geheim", "mysql://u:geheim@h/x", "sqlite://", "sqlite:///:memory:", "postgresql+psycopg2://u:geheim@h/x"),
        *("postgresql://u:geheim@h/x?sslmode=on", "postgresql://u:geheim@h/x?sslmode=verify-full&sslrootcert=/missing"),
    ],
)
def test_a_url_that_cannot_be_used_is_told_without_showing_it(url: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=r"^destinations.results.database_url: ") as raised:
        Results("results", Destination(database_url=url))
    assert "geheim" not in str(raised.value)
