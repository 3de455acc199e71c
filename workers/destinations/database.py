"""Callbacks as rows in a table of the operator's own database: PostgreSQL or SQLite, one row for each `webhook-id`."""

import asyncio
import ssl
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.dialects import postgresql, sqlite

from jobs import errors
from jobs.settings import Destination
from jobs.store.deliveries import Due
from workers.destinations.service import Outcome

ANSWER_S = 10.0
"""How long the database may take for each answer."""
_LIMIT = sa.text("SET LOCAL statement_timeout = '8s'")
"""So that the server gives up before we do. Within the transaction, as poolers such as PgBouncer want it."""
THREADS = 4
"""Rows that one process writes into one PostgreSQL at once."""

FAILURES = (exc.SQLAlchemyError, OSError, UnicodeError)
"""The last two are what pg8000 lets through while it negotiates TLS with something that is no PostgreSQL."""

_MOMENT = sa.DateTime(timezone=True).with_variant(
    # SQLite knows no times; all of ours are UTC, so they say so.
    sqlite.DATETIME(  # type: ignore[no-untyped-call]  # SQLAlchemy gives it no types
        storage_format="%(year)04d-%(month)02d-%(day)02dT%(hour)02d:%(minute)02d:%(second)02d.%(microsecond)06dZ",
        regexp=r"(\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+)\.(\d+)Z",
    ),
    "sqlite",
)
_JSON = sa.JSON(none_as_null=True)
"""`json`, not `jsonb`: what callers gave comes back unchanged, whatever numbers, order and characters it has."""


class _Job(msgspec.Struct, frozen=True, kw_only=True):
    """What is read of a callback's job; `Raw` is stored as it came."""

    id: str
    type: str
    status: str
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    metadata: msgspec.Raw = msgspec.Raw(b"null")
    output: msgspec.Raw = msgspec.Raw(b"null")
    error: msgspec.Raw = msgspec.Raw(b"null")


class _Body(msgspec.Struct, frozen=True, kw_only=True):
    type: str
    data: _Job


_body = msgspec.json.Decoder(_Body)


def _table(name: str) -> sa.Table:
    """The table, `name` or `schema.name`."""
    schema, _, plain = name.rpartition(".")
    return sa.Table(
        plain,
        sa.MetaData(),
        sa.Column("webhook_id", sa.Text, primary_key=True),
        sa.Column("job_id", sa.Text, nullable=False, index=True),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("started_at", _MOMENT),
        sa.Column("ended_at", _MOMENT),
        sa.Column("metadata", _JSON, nullable=False),
        sa.Column("output", _JSON),
        sa.Column("error", _JSON),
        sa.Column("body", _JSON, nullable=False),
        sa.Column("received_at", _MOMENT, nullable=False),
        schema=schema or None,
    )


class Results:
    """The table of results in one database. Its methods block."""

    def __init__(self, name: str, destination: Destination) -> None:
        """`name` is the destination's. Raises `errors.ConfigurationError` if its URL cannot be used; connects later."""
        self.name = name
        self.table = _table(destination.table)
        url = _url(name, destination.database_url)
        self.threads = 1 if url.get_backend_name() == "sqlite" else min(THREADS, destination.concurrency)
        options: dict[str, Any] = {"pool_size": self.threads, "max_overflow": 0, "pool_timeout": ANSWER_S}
        if url.get_backend_name() == "sqlite":
            options["connect_args"] = {"timeout": ANSWER_S}
        else:
            # pg8000 leaves its time limit on the socket: it also bounds what a dead connection takes.
            options["connect_args"] = {"timeout": ANSWER_S, "ssl_context": _tls(name, url)}
            url = url.difference_update_query(["sslmode", "sslrootcert"])
        self._engine = sa.create_engine(
            url,
            pool_pre_ping=True,
            hide_parameters=True,
            json_serializer=lambda raw: bytes(raw).decode(),
            json_deserializer=msgspec.json.decode,
            **options,
        )

    def insert(self, due: Due) -> None:
        """Writes the delivery's row; does nothing if it is there. Raises one of `FAILURES`."""
        body = _body.decode(due.body)
        job = body.data
        dialect = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        row = dialect.insert(self.table).values(
            webhook_id=due.webhook_id,
            job_id=job.id,
            event=body.type,
            sequence=due.sequence,
            type=job.type,
            status=job.status,
            created_at=job.created_at,
            started_at=job.started_at,
            ended_at=job.ended_at,
            metadata=job.metadata,
            output=_unless_null(job.output),
            error=_unless_null(job.error),
            body=msgspec.Raw(due.body),
            received_at=datetime.now(UTC),
        )
        with self._engine.begin() as connection:
            if dialect is postgresql:
                connection.execute(_LIMIT)
            connection.execute(row.on_conflict_do_nothing(index_elements=["webhook_id"]))

    def create(self) -> bool:
        """Makes the table if there is none: whether it did.

        Raises `errors.ConfigurationError` if there is one that lacks columns, or if the database refuses.
        """
        try:
            with self._engine.begin() as connection:
                if missing := self._missing(connection):
                    raise errors.ConfigurationError(
                        f"destinations.{self.name}: the table {self.table.fullname} has no column "
                        f"{', '.join(missing)}: it is for something else; name another in `table`"
                    )
                exists = sa.inspect(connection).has_table(self.table.name, schema=self.table.schema)
                self.table.metadata.create_all(connection)
        except FAILURES as error:
            raise errors.ConfigurationError(f"destinations.{self.name}: {reason(error)}") from None
        return not exists

    def check(self) -> str | None:
        """What keeps results from being written, if anything; without secrets."""
        try:
            with self._engine.connect() as connection:
                if not sa.inspect(connection).has_table(self.table.name, schema=self.table.schema):
                    return self.not_made
                missing = self._missing(connection)
        except FAILURES as error:
            return reason(error)
        return f"the table {self.table.fullname} has no column {', '.join(missing)}" if missing else None

    def _missing(self, connection: sa.Connection) -> list[str]:
        """The columns that an existing table lacks."""
        inspector = sa.inspect(connection)
        if not inspector.has_table(self.table.name, schema=self.table.schema):
            return []
        found = {column["name"] for column in inspector.get_columns(self.table.name, schema=self.table.schema)}
        return [column.name for column in self.table.columns if column.name not in found]

    @property
    def not_made(self) -> str:
        """What to say when the table is missing."""
        return f"there is no table {self.table.fullname}; `ringback destinations init {self.name}` makes it"

    def dispose(self) -> None:
        """Closes all connections."""
        self._engine.dispose()


class DatabaseSender:
    """Writes callbacks into databases, each from threads of its own: one that hangs holds up no other."""

    def __init__(self, destinations: Mapping[str, Destination], attempt_s: float) -> None:
        """`attempt_s` bounds one attempt. Raises as `Results` does."""
        self._attempt_s = attempt_s
        self._results = {name: Results(name, found) for name, found in destinations.items() if found.database_url}
        self._threads = {
            name: ThreadPoolExecutor(results.threads, thread_name_prefix=f"database-{name}")
            for name, results in self._results.items()
        }

    async def send(self, due: Due) -> Outcome:
        """See `Sender`."""
        name = due.destination.removeprefix("database:")
        if (results := self._results.get(name)) is None:
            return Outcome(verdict="again", error="this worker's ringback.toml has no such destination")
        try:
            async with asyncio.timeout(self._attempt_s):
                # What takes too long goes on in its thread; written twice, it is there once.
                await asyncio.get_running_loop().run_in_executor(self._threads[name], results.insert, due)
        except TimeoutError:
            return Outcome(verdict="again", error=f"not written within {self._attempt_s:g} s")
        except FAILURES as error:
            if _is_missing_table(error):
                return Outcome(verdict="again", error=results.not_made)
            return Outcome(verdict="never" if _is_lasting(error) else "again", error=reason(error))
        return Outcome(verdict="delivered")

    async def aclose(self) -> None:
        """See `Sender`."""
        for name, results in self._results.items():
            self._threads[name].shutdown(wait=False, cancel_futures=True)
            await asyncio.to_thread(results.dispose)


def _url(name: str, given: str) -> sa.URL:
    """The database's URL. Raises `errors.ConfigurationError`, which does not show it."""
    place = f"destinations.{name}.database_url"
    try:
        url = sa.make_url(given)
    except exc.ArgumentError:
        raise errors.ConfigurationError(
            f"{place}: not a URL such as postgresql+pg8000://user:password@host/name"
        ) from None
    match url.drivername:
        case "sqlite" | "sqlite+pysqlite" if url.database and url.database != ":memory:":
            return url
        case "postgresql" | "postgres" | "postgresql+pg8000":
            return url.set(drivername="postgresql+pg8000")
        case _:
            raise errors.ConfigurationError(f"{place}: must be postgresql+pg8000://… or sqlite:///FILE")


def _tls(name: str, url: sa.URL) -> ssl.SSLContext | bool | None:
    """What pg8000 takes for the URL's `sslmode` and `sslrootcert`, which mean what they mean to libpq."""
    mode, root = url.query.get("sslmode", "prefer"), url.query.get("sslrootcert")
    match mode:
        case "disable":
            return False
        case "prefer":
            return None
        case "require":
            return True
        case "verify-full":
            try:
                return ssl.create_default_context(cafile=str(root) if root else None)
            except OSError as error:
                raise errors.ConfigurationError(
                    f"destinations.{name}.database_url: sslrootcert cannot be used: {type(error).__name__}"
                ) from None
        case _:
            raise errors.ConfigurationError(
                f"destinations.{name}.database_url: sslmode must be disable, prefer, require or verify-full"
            )


def _unless_null(raw: msgspec.Raw) -> msgspec.Raw | None:
    return None if bytes(raw) == b"null" else raw


def _sql_state(error: Exception) -> dict[str, str]:
    """PostgreSQL's answer as pg8000 hands it on: `C` is the SQLSTATE, `c` a column, `n` a constraint; else empty."""
    said = error.orig.args[:1] if isinstance(error, exc.DBAPIError) and error.orig else ()
    return said[0] if said and isinstance(said[0], dict) else {}


def _is_missing_table(error: Exception) -> bool:
    if state := _sql_state(error):
        return state.get("C") in ("42P01", "3F000")  # also when the schema is missing
    return isinstance(error, exc.OperationalError) and "no such table" in str(error.orig)


def _is_lasting(error: Exception) -> bool:
    """Whether the row itself is refused: no later attempt can succeed before somebody changes the table."""
    if state := _sql_state(error):
        code = state.get("C", "")
        return code[:2] in ("22", "23") or code in ("42703", "42804")  # data, integrity, no such column, wrong type
    return isinstance(error, exc.IntegrityError | exc.DataError)


def reason(error: Exception) -> str:
    """Why the database did not do it, without what was to be written and without secrets.

    Not the database's own words: they quote values.
    """
    if state := _sql_state(error):
        at = " ".join(f"{what} {state[key]}" for key, what in (("c", "column"), ("n", "constraint")) if key in state)
        return f"PostgreSQL refused: SQLSTATE {state.get('C', '?')}" + (f" ({at})" if at else "")
    if isinstance(error, exc.DBAPIError) and (name := getattr(error.orig, "sqlite_errorname", None)):
        return f"SQLite refused: {name}"
    cause = error.orig if isinstance(error, exc.DBAPIError) and error.orig else error
    return f"the database cannot be reached: {type(cause).__name__}"
