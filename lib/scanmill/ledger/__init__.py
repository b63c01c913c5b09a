"""The ledger: the database of all fates, an index that can be made again from the bucket.

Objects are written first, then one transaction here names them: see `scanmill.ledger.books`.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from scanmill.errors import FatalError, RetryableError

HEAD = "0004"
"""The newest migration; a test holds it against the folder of migrations."""

_BUSY_SECONDS = 60  # another process may write a whole batch meanwhile


class Ledger:
    """A connection to the ledger's database, brought to the newest schema when opened."""

    def __init__(self, url: str) -> None:
        """Open the ledger and migrate it if it is older than this program."""
        self._engine = _engine(url)
        revision = self._revision()
        if revision is not None and revision > HEAD:
            raise FatalError(
                f"The ledger has schema [{revision}], this program knows [{HEAD}]. "
                "Install the newer scanmill that wrote it."
            )
        if revision != HEAD:
            self._migrate()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yield a connection that sees one unchanging state of the books."""
        with _translated(), self._engine.connect() as connection:
            if connection.dialect.name == "postgresql":  # SQLite's readers have it by themselves
                connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """Yield a connection whose changes are all kept, or none."""
        with _translated(), self._engine.connect() as connection:
            writer = connection.execution_options(scanmill_writes=True)
            with writer.begin():
                yield writer

    def _revision(self) -> str | None:
        with _translated(), self._engine.connect() as connection:
            if not sa.inspect(connection).has_table("alembic_version"):
                return None
            query = sa.text("SELECT version_num FROM alembic_version")
            found: str | None = connection.scalar(query)
            return found

    def _migrate(self) -> None:
        from alembic import command  # noqa: PLC0415 - half a second, and hardly ever needed
        from alembic.config import Config  # noqa: PLC0415

        config = Config()
        config.set_main_option("script_location", "scanmill.ledger:migrations")
        with self.writing() as connection:  # holds the write lock: two openers do not collide
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def _engine(url: str) -> sa.Engine:
    # hide_parameters: texts of mails and pages must not stand in error messages and logs.
    try:
        if not url.startswith("sqlite"):
            return sa.create_engine(url, pool_pre_ping=True, hide_parameters=True)
        busy = {"timeout": _BUSY_SECONDS}
        engine = sa.create_engine(url, connect_args=busy, hide_parameters=True)
    except (sa.exc.ArgumentError, ImportError) as error:
        raise FatalError(
            f"SCANMILL_LEDGER_URL cannot be used: {error}. Write sqlite:////path/ledger.db"
        ) from error

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        # The driver's own transactions begin too late for a consistent read: see SQLAlchemy's
        # page "Serializable isolation / Savepoints / Transactional DDL" on SQLite.
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("scanmill_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Turn faults of the database that pass by themselves into `RetryableError`."""
    try:
        yield
    except sa.exc.OperationalError as error:
        if "no such column" in str(error) or "no such table" in str(error):
            raise FatalError(f"The ledger does not fit this program: {error}") from error
        raise RetryableError(f"The ledger cannot be reached: {error}") from error
    except sa.exc.DatabaseError as error:
        if type(error) is not sa.exc.DatabaseError:
            raise  # such as a broken constraint: a bug of ours, and no fault of the file
        raise FatalError(
            f"The ledger is damaged, or no ledger: {error.orig}. Move it away, then: "
            "./scanmill ledger rebuild"
        ) from error
