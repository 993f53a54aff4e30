"""What the service asks the database."""

from collections.abc import Generator
from contextlib import contextmanager

from asyncpg import Connection
from sqlalchemy import Engine, event


@contextmanager
def statements() -> Generator[list[str]]:
    """The texts of all statements that are run meanwhile, on connections of either kind."""
    seen: list[str] = []

    def note(_connection, _cursor, statement, *_rest) -> None:
        seen.append(statement)

    fetch = Connection.fetch

    async def noted(connection, query, *arguments, **options):
        seen.append(query)
        return await fetch(connection, query, *arguments, **options)

    event.listen(Engine, "before_cursor_execute", note)
    Connection.fetch = noted
    try:
        yield seen
    finally:
        Connection.fetch = fetch
        event.remove(Engine, "before_cursor_execute", note)
