"""Carries out what is owed to the outside: claim, deliver outside any transaction, settle.

Every message is delivered at least once, in no promised order: a handler bears to be called again
for the same message, in another process too.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import structlog

from domain.errors.exceptions import DomainError, ServiceUnavailable
from persistence.engine.database import Work
from persistence.engine.notifications import listen
from persistence.repositories import outbox
from persistence.repositories.outbox import Message
from resilience.background_tasks import BackgroundTask
from resilience.backoff import Backoff
from resolvers.services import Services

Handler = Callable[[Services, Message], Awaitable[None]]
Wait = Callable[[float, asyncio.Event, asyncio.Event], Awaitable[None]]

BATCH_SIZE = 4
# What is due and cannot be had is being claimed by another process.
MIN_WAIT_SECONDS = 0.1
INITIAL_BACKOFF_SECONDS = 1.0
MAX_BACKOFF_SECONDS = 30.0

log = structlog.get_logger(__name__)


class Undeliverable(Exception):
    """Raised by a handler for what no repetition will carry out, from the error that says why."""


class Abandoned(Undeliverable):
    """Claimed as often as is tried, and never settled: it may be what ended those processes."""


async def wait_for_any(seconds: float, *events: asyncio.Event) -> None:
    """Returns when one of the events is set, or after `seconds`."""
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How deliveries are made and repeated.

    A handler has half the lease; the other half allows for clocks that differ. `jitter` gives
    numbers from 0 to 1: how much of the last fifth of a wait is left out.
    """

    lease: timedelta = timedelta(seconds=120)
    # More than six hours: longer than an outside service is away on a bad day.
    max_attempts: int = 16
    first_wait: timedelta = timedelta(seconds=5)
    longest_wait: timedelta = timedelta(hours=1)
    poll_seconds: float = 30.0
    jitter: Callable[[], float] = random.random
    wait: Wait = wait_for_any

    def retry_after(self, attempt: int, error: Exception) -> timedelta:
        """How long to leave a message alone after its failed `attempt` (1-based)."""
        wait: timedelta = min(self.first_wait * 2 ** (attempt - 1), self.longest_wait)
        asked = error.retry_after_seconds if isinstance(error, DomainError) else None
        return max(wait * (1 - self.jitter() / 5), timedelta(seconds=asked or 0))


DEFAULT_RETRY_POLICY = RetryPolicy()


async def run_outbox(
    services: Services,
    handlers: Mapping[str, Handler],
    stop: asyncio.Event,
    *,
    terms: RetryPolicy = DEFAULT_RETRY_POLICY,
) -> None:
    """Deliver until `stop` is set, what is under way included; woken by notices if they come.

    Both halves are background tasks: without notices, messages are looked for now and then.
    """
    wake, background = asyncio.Event(), services.background
    options = services.database.options

    def noticed(kind: str) -> None:
        """Messages of other kinds are not for us; without a kind there may be anything."""
        if not kind or kind in handlers:
            wake.set()

    tasks = [
        background.start(
            "outbox",
            lambda task: deliver_continuously(
                services, handlers, stop, wake, task=task, terms=terms
            ),
            steady_seconds=None,
        )
    ]
    if not options.pgbouncer:
        tasks.append(
            background.start(
                "outboxNotices",
                lambda task: listen(options, outbox.CHANNEL, noticed, task=task),
                steady_seconds=None,
            )
        )
    try:
        await tasks[0]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def deliver_continuously(  # noqa: PLR0913 - the terms, and two events
    services: Services,
    handlers: Mapping[str, Handler],
    stop: asyncio.Event,
    wake: asyncio.Event,
    *,
    task: BackgroundTask,
    terms: RetryPolicy = DEFAULT_RETRY_POLICY,
) -> None:
    """Deliver what falls due until `stop` is set, and outlast a database that is away.

    `task` is told of each success and failure.
    """
    pauses = Backoff(INITIAL_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS)
    while not stop.is_set():
        wake.clear()
        seconds = await _deliver_and_schedule(services, handlers, stop, task, terms)
        if seconds is None:
            seconds = pauses.next()
        else:
            pauses.reset()
        await terms.wait(seconds, stop, wake)


async def deliver_due(
    services: Services,
    handlers: Mapping[str, Handler],
    *,
    limit: int = BATCH_SIZE,
    stop: asyncio.Event | None = None,
    terms: RetryPolicy = DEFAULT_RETRY_POLICY,
) -> int:
    """How many were claimed, up to `limit` at once, until nothing was due or `stop` was set.

    Raises ServiceUnavailable when the database cannot be asked for messages.
    """
    claimed = 0
    while stop is None or not stop.is_set():
        work = partial(
            outbox.lease,
            kinds=tuple(handlers),
            now=services.clock(),
            duration=terms.lease,
            limit=limit,
        )
        messages = await services.database.run(work)
        if not messages:
            break
        async with asyncio.TaskGroup() as group:
            for message in messages:
                group.create_task(_deliver(services, handlers[message.kind], message, terms))
        claimed += len(messages)
    return claimed


async def _deliver_and_schedule(
    services: Services,
    handlers: Mapping[str, Handler],
    stop: asyncio.Event,
    task: BackgroundTask,
    terms: RetryPolicy,
) -> float | None:
    """Seconds until there is more to do; None when something broke."""
    try:
        await deliver_due(services, handlers, stop=stop, terms=terms)
        work = partial(outbox.next_due, kinds=tuple(handlers))
        due_at = await services.database.read(work)
    except Exception as error:  # noqa: BLE001 - logged by the task
        task.fail(error)
        return None
    task.succeed()
    if due_at is None:
        return terms.poll_seconds
    seconds = (due_at - services.clock()).total_seconds()
    return min(max(seconds, MIN_WAIT_SECONDS), terms.poll_seconds)


async def _deliver(
    services: Services, handler: Handler, message: Message, terms: RetryPolicy
) -> None:
    error = await _attempt(services, handler, message, terms)
    now = services.clock()
    if error is None:
        finish = partial(outbox.finish, message=message, now=now)
        if await _update_message(services, message, finish):
            log.info("outbox_message_delivered", **_log_fields(message))
        return
    failure = _failure_name(error)
    if isinstance(error, Undeliverable) or message.attempts >= terms.max_attempts:
        bury = partial(outbox.dead_letter, message=message, failure=failure, now=now)
        if await _update_message(services, message, bury):
            log.error("outbox_message_died", failure=failure, **_log_fields(message))
        return
    due_at = now + terms.retry_after(message.attempts, error)
    fail = partial(outbox.fail, message=message, failure=failure, due_at=due_at)
    if await _update_message(services, message, fail):
        log.warning("outbox_message_failed", failure=failure, due_at=due_at, **_log_fields(message))


async def _attempt(
    services: Services, handler: Handler, message: Message, terms: RetryPolicy
) -> Exception | None:
    if message.attempts > terms.max_attempts:
        return Abandoned()
    try:
        async with asyncio.timeout(terms.lease.total_seconds() / 2):
            await handler(services, message)
    except (DomainError, TimeoutError, Undeliverable) as error:
        return error
    except Exception as error:
        log.exception("outbox_handler_broke", **_log_fields(message))
        return error
    return None


async def _update_message(services: Services, message: Message, work: Work[bool]) -> bool:
    """False when another process has, or will have, the message once more."""
    try:
        is_settled = await services.database.run(work)
    except ServiceUnavailable:
        log.warning("outbox_message_not_settled", **_log_fields(message))
        return False
    if not is_settled:
        log.warning("outbox_lease_lost", **_log_fields(message))
    return is_settled


def _failure_name(error: BaseException) -> str:
    """The code or the class of what went wrong, never its words, which may hold values."""
    if isinstance(error, DomainError):
        return error.code.value
    if isinstance(error, Undeliverable) and error.__cause__ is not None:
        return _failure_name(error.__cause__)
    return type(error).__name__


def _log_fields(message: Message) -> dict[str, object]:
    return {"message_id": message.id, "kind": message.kind, "attempts": message.attempts}
