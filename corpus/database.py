"""Opening the database of a corpus, and transactions on it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.orm import Session

from corpus.errors import CorpusError, from_database_error
from corpus.tables import SCHEMA, Base, MetaRow

_BUSY_MILLISECONDS = 30_000
#: Any number, the same in every process: "convfuzz" in ASCII.
_ADVISORY_LOCK = int.from_bytes(b"convfuzz", "big")


class Database:
    """Transactions on the tables: ``read`` sees one consistent state, ``write`` is all or nothing.

    SQLite is used in WAL mode with ``synchronous=FULL``: a transaction that has committed survives kill -9 of the
    process as well as a power cut. A batch takes seconds, a commit milliseconds. Writers take the lock when they begin
    (BEGIN IMMEDIATE), because a reader that turns writer cannot wait for its turn. On PostgreSQL an advisory lock does
    the same for the writers of all machines, so that both databases see one write after the other.
    """

    def __init__(self, engine: Engine, where: str) -> None:
        self._engine = engine
        self._writer = engine.execution_options(convfuzz_writes=True)
        self._reader = engine
        if engine.dialect.name == "postgresql":
            self._reader = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._where = where

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session for queries. CorpusError for whatever the database has to complain about."""
        try:
            with Session(self._reader) as session:
                yield session
        except SQLAlchemyError as error:
            raise from_database_error(error, self._where) from error

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session that commits when the block ends and rolls back when it raises. Errors as for ``read``."""
        try:
            with Session(self._writer) as session, session.begin():
                yield session
        except SQLAlchemyError as error:
            raise from_database_error(error, self._where) from error

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``postgresql``."""
        return self._engine.dialect.name

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def prepare(self) -> None:
        """Make the tables if there are none, and check that what is there is ours. CorpusError otherwise. Tables that
        an older version did not have are added."""
        try:
            with self._writer.begin() as connection:
                names = set(inspect(connection).get_table_names())
                if not names:
                    Base.metadata.create_all(connection)
                    for key, value in (("application", "convfuzz"), ("schema", str(SCHEMA))):
                        connection.execute(MetaRow.__table__.insert().values(key=key, value=value))  # type: ignore[attr-defined]
                else:
                    self._check(connection, names)
                    if not names.issuperset(Base.metadata.tables):
                        Base.metadata.create_all(connection)
        except SQLAlchemyError as error:
            raise from_database_error(error, self._where) from error

    def check(self) -> None:
        """Check that the tables are ours, writing nothing. CorpusError otherwise."""
        try:
            with self._reader.connect() as connection:
                self._check(connection, set(inspect(connection).get_table_names()))
        except SQLAlchemyError as error:
            raise from_database_error(error, self._where) from error

    def _check(self, connection: Connection, names: set[str]) -> None:
        meta: dict[str, str] = {}
        if "meta" in names:
            meta = {str(key): str(value) for key, value in connection.exec_driver_sql("SELECT key, value FROM meta")}
        if meta.get("application") != "convfuzz":
            raise CorpusError(
                f"the database at {self._where} was not made by convfuzz", "choose another directory with --corpus"
            )
        check_schema(meta.get("schema", ""), self._where)


def check_schema(schema: str, where: str) -> None:
    """CorpusError unless this version can use a corpus of that schema number."""
    if not schema.isdecimal() or int(schema) > SCHEMA:
        raise CorpusError(
            f"the corpus at {where} was written by a newer convfuzz (schema {schema}, this one knows {SCHEMA})",
            "upgrade convfuzz, or start a new corpus with --corpus",
        )


def open_database(url: str, where: str) -> Database:
    """The database at an SQLAlchemy URL; nothing is read yet. ``where`` names it in errors, without its password.
    CorpusError when the URL or its driver is not usable."""
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() not in ("sqlite", "postgresql"):
            raise CorpusError(
                f"no corpus can be kept in {parsed.get_backend_name()!r}", "use an sqlite or postgresql URL"
            )
        engine = create_engine(parsed)
    except ModuleNotFoundError as error:
        raise CorpusError(
            f"the driver of the database is not installed: {error}",
            "pip install 'convfuzz[postgresql]', for URLs like postgresql+psycopg://user@host/name",
        ) from error
    except ArgumentError as error:
        raise CorpusError(
            f"the database URL is not usable: {error}", "a URL looks like postgresql+psycopg://user@host/name"
        ) from error
    if engine.dialect.name == "sqlite":
        _configure_sqlite(engine)
    else:
        _configure_postgresql(engine)
    return Database(engine, where)


def sqlite_url(path: Path, *, writable: bool) -> str:
    """URL of an SQLite file.

    One that cannot be written is opened read-only; without a write-ahead log beside it also as immutable, because
    SQLite would otherwise want to create that log.
    """
    if writable:
        return URL.create("sqlite", database=str(path)).render_as_string()
    query = {"mode": "ro", "uri": "true"}
    if not path.with_name(path.name + "-wal").exists():
        query["immutable"] = "1"
    return URL.create("sqlite", database=path.absolute().as_uri(), query=query).render_as_string()


def _configure_sqlite(engine: Engine) -> None:
    writable = "mode" not in engine.url.query

    @event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, record: Any) -> None:
        connection.isolation_level = None  # transactions begin below, not when the driver thinks so
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
        if writable:
            cursor.execute("PRAGMA journal_mode = WAL")
            cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("convfuzz_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _configure_postgresql(engine: Engine) -> None:
    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if connection.get_execution_options().get("convfuzz_writes", False):
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
