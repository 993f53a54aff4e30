"""A database that is made current, and what commands do on it with all of the service."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from persistence.engine import migrate
from persistence.engine.database import Database, DatabaseUnavailable
from persistence.repositories import tournaments
from resolvers.documents.jobs import HANDLERS
from resolvers.operations.outbox import run_outbox
from resolvers.services import Services
from server import build_services, database_options
from serving import stop_by_signal
from settings import Settings

T = TypeVar("T")


class DatabaseSetupError(Exception):
    """Why the database cannot be worked with."""


def prepare(settings: Settings, url: str) -> None:
    """Give the database the current schema, and an empty one its tournament. Raises NotPrepared."""
    if settings.sqlalchemy_url is not None:
        _wait_for(settings, url)
    if asyncio.run(migrate.is_current(url)):
        return
    try:
        migrate.upgrade(url)
    except migrate.MigrationRefused as error:
        raise DatabaseSetupError(
            f"The database cannot be migrated: {error}. Is it of a newer version?"
        ) from error
    create = partial(
        tournaments.create_default,
        capacity=settings.tournament_capacity,
        required_documents=settings.required_documents,
        now=datetime.now(UTC),
    )
    asyncio.run(_with_database(settings, url, lambda database: database.run(create)))


def run_with_services(settings: Settings, url: str, work: Callable[[Services], Awaitable[T]]) -> T:
    return asyncio.run(
        _with_database(settings, url, lambda database: work(build_services(settings, database)))
    )


async def work_until_stopped(services: Services) -> None:
    """Carries out what is owed to the outside until SIGINT or SIGTERM."""
    stop = stop_by_signal()
    print("The worker is running.", flush=True)
    await run_outbox(services, HANDLERS, stop)


def _wait_for(settings: Settings, url: str) -> None:
    try:
        asyncio.run(_with_database(settings, url, Database.wait_until_ready))
    except DatabaseUnavailable as error:
        refusal = str(error)
        raise DatabaseSetupError(
            f"The database answers, but {refusal}. Check DATABASE_URL."
            if refusal
            else "The database does not answer. Check DATABASE_URL and that the server is running."
        ) from error


async def _with_database(
    settings: Settings, url: str, work: Callable[[Database], Awaitable[T]]
) -> T:
    database = Database(database_options(settings, url))
    try:
        return await work(database)
    finally:
        await database.close()
