"""PostgreSQL notifications (LISTEN), on a connection of their own.

They do not work behind pgbouncer, which gives the listening session to other clients.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import NoReturn

import asyncpg

from domain.errors.exceptions import ServiceUnavailable
from persistence.engine.driver import CONNECTION_ERRORS, check_connection, connect
from persistence.engine.engine import DatabaseOptions
from resilience.background_tasks import BackgroundTask
from resilience.backoff import Backoff

# Wait before reconnecting; doubled after each failure.
MIN_RECONNECT_SECONDS = 0.1
MAX_RECONNECT_SECONDS = 30.0
# Time between two checks whether the connection still answers.
CHECK_INTERVAL_SECONDS = 60.0


async def listen(  # noqa: PLR0913 - what is listened to, who is told, and two waits
    options: DatabaseOptions,
    channel: str,
    on_notification: Callable[[str], None],
    *,
    task: BackgroundTask,
    check_interval_seconds: float = CHECK_INTERVAL_SECONDS,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Call `on_notification` with the payload of every notification, until cancelled.

    Reconnects whenever the connection is lost. After each connect it is called with an empty
    payload, since notifications may have been missed. `task` is
    told of each loss and of each connection.
    """
    waits = Backoff(MIN_RECONNECT_SECONDS, MAX_RECONNECT_SECONDS)

    def listening() -> None:
        waits.reset()
        task.succeed()
        on_notification("")

    while True:
        try:
            await _listen_once(options, channel, on_notification, listening, check_interval_seconds)
        except ServiceUnavailable as error:
            task.fail(error)
        await sleep(waits.next())


async def _listen_once(
    options: DatabaseOptions,
    channel: str,
    on_notification: Callable[[str], None],
    on_listening: Callable[[], None],
    check_interval_seconds: float,
) -> NoReturn:
    """Listen until the connection is lost. Raises ServiceUnavailable."""
    try:
        async with _listening(options, channel, on_notification) as (connection, lost):
            on_listening()
            while not await _is_set(lost, timeout_seconds=check_interval_seconds):
                seconds_to_answer = options.connect_timeout_seconds
                if not await check_connection(connection, timeout_seconds=seconds_to_answer):
                    break
    except CONNECTION_ERRORS as error:
        raise ServiceUnavailable from error
    raise ServiceUnavailable


@asynccontextmanager
async def _listening(
    options: DatabaseOptions, channel: str, on_notification: Callable[[str], None]
) -> AsyncGenerator[tuple[asyncpg.Connection, asyncio.Event]]:
    """A listening connection, and an event that is set when it is lost.

    Raises CONNECTION_ERRORS.
    """
    connection = await connect(options.url, timeout_seconds=options.connect_timeout_seconds)
    try:
        lost = asyncio.Event()
        connection.add_termination_listener(lambda *_: lost.set())
        await connection.add_listener(
            channel, lambda *arguments: on_notification(str(arguments[-1]))
        )
        yield connection, lost
    finally:
        with suppress(*CONNECTION_ERRORS):
            await connection.close(timeout=options.connect_timeout_seconds)


async def _is_set(event: asyncio.Event, *, timeout_seconds: float) -> bool:
    try:
        async with asyncio.timeout(timeout_seconds):
            return await event.wait()
    except TimeoutError:
        return False
