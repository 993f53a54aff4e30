"""Record the SQL statements that the service executes."""

from collections.abc import Generator
from contextlib import contextmanager

from asyncpg import Connection
from sqlalchemy import Engine, event


@contextmanager
def record_statements() -> Generator[list[str]]:
    """Collect the texts of all statements, on SQLAlchemy's and on asyncpg connections."""
    recorded: list[str] = []

    def record(_connection, _cursor, statement, *_rest) -> None:
        recorded.append(statement)

    fetch = Connection.fetch

    async def fetch_and_record(connection, query, *arguments, **options):
        recorded.append(query)
        return await fetch(connection, query, *arguments, **options)

    event.listen(Engine, "before_cursor_execute", record)
    Connection.fetch = fetch_and_record
    try:
        yield recorded
    finally:
        Connection.fetch = fetch
        event.remove(Engine, "before_cursor_execute", record)
