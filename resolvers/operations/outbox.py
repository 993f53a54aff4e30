"""Outbox worker: lease due messages, run their handlers outside transactions, record the result.

Delivery is at least once and unordered: handlers must be idempotent, also across processes.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

import structlog

from domain.errors.base import DomainError
from domain.errors.exceptions import ServiceUnavailable
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
# A message that is due but not available is leased to another process.
MIN_WAIT_SECONDS = 0.1
INITIAL_BACKOFF_SECONDS = 1.0
MAX_BACKOFF_SECONDS = 30.0

log = structlog.get_logger(__name__)


class Undeliverable(Exception):
    """Raised by a handler, from the cause, for a message that no retry can deliver."""


class Abandoned(Undeliverable):
    """The message was leased `max_attempts` times without a result: it may crash its workers."""


async def wait_for_any(seconds: float, *events: asyncio.Event) -> None:
    """Return when one of the events is set, or after `seconds`."""
    tasks = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Lease, time limit and backoff of deliveries.

    A handler may take half the lease; the other half allows for clock differences. `jitter` returns
    numbers from 0 to 1, which shorten a wait by up to a fifth.
    """

    lease: timedelta = timedelta(seconds=120)
    # Together more than six hours, to outlast outages of external services.
    max_attempts: int = 16
    first_wait: timedelta = timedelta(seconds=5)
    longest_wait: timedelta = timedelta(hours=1)
    poll_seconds: float = 30.0
    jitter: Callable[[], float] = random.random
    wait: Wait = wait_for_any

    def retry_after(self, attempt: int, error: Exception) -> timedelta:
        """Return the wait after failed `attempt` (1-based), at least the error's Retry-After."""
        wait: timedelta = min(self.first_wait * 2 ** (attempt - 1), self.longest_wait)
        retry_after = error.retry_after_seconds if isinstance(error, DomainError) else None
        return max(wait * (1 - self.jitter() / 5), timedelta(seconds=retry_after or 0))


DEFAULT_RETRY_POLICY = RetryPolicy()


async def run_outbox(
    services: Services,
    handlers: Mapping[str, Handler],
    stop: asyncio.Event,
    *,
    policy: RetryPolicy = DEFAULT_RETRY_POLICY,
) -> None:
    """Deliver until `stop` is set, then finish deliveries in progress.

    Two background tasks: delivery, and LISTEN for notifications that wake it. Without
    notifications, messages are found by polling.
    """
    wake, background = asyncio.Event(), services.background
    options = services.database.options

    def on_notification(kind: str) -> None:
        """Wake up for a kind with a handler. An empty kind stands for any."""
        if not kind or kind in handlers:
            wake.set()

    tasks = [
        background.start(
            "outbox",
            lambda task: deliver_continuously(
                services, handlers, stop, wake, task=task, policy=policy
            ),
            healthy_after_seconds=None,
        )
    ]
    if not options.pgbouncer:
        tasks.append(
            background.start(
                "outboxNotices",
                lambda task: listen(options, outbox.CHANNEL, on_notification, task=task),
                healthy_after_seconds=None,
            )
        )
    try:
        await tasks[0]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def deliver_continuously(  # noqa: PLR0913 - two events and options
    services: Services,
    handlers: Mapping[str, Handler],
    stop: asyncio.Event,
    wake: asyncio.Event,
    *,
    task: BackgroundTask,
    policy: RetryPolicy = DEFAULT_RETRY_POLICY,
) -> None:
    """Deliver due messages until `stop` is set; back off while the database is unavailable.

    Report each success and failure to `task`.
    """
    pauses = Backoff(INITIAL_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS)
    while not stop.is_set():
        wake.clear()
        seconds = await _deliver_and_schedule(services, handlers, stop, task, policy)
        if seconds is None:
            seconds = pauses.next()
        else:
            pauses.reset()
        await policy.wait(seconds, stop, wake)


async def deliver_due(
    services: Services,
    handlers: Mapping[str, Handler],
    *,
    limit: int = BATCH_SIZE,
    stop: asyncio.Event | None = None,
    policy: RetryPolicy = DEFAULT_RETRY_POLICY,
) -> int:
    """Deliver in batches of `limit` until nothing is due or `stop` is set; return the number.

    Raises ServiceUnavailable.
    """
    count = 0
    while stop is None or not stop.is_set():
        messages = await services.database.run(
            lambda uow: uow.outbox.lease(
                kinds=tuple(handlers), now=services.clock(), duration=policy.lease, limit=limit
            )
        )
        if not messages:
            break
        async with asyncio.TaskGroup() as group:
            for message in messages:
                group.create_task(_deliver(services, handlers[message.kind], message, policy))
        count += len(messages)
    return count


async def _deliver_and_schedule(
    services: Services,
    handlers: Mapping[str, Handler],
    stop: asyncio.Event,
    task: BackgroundTask,
    policy: RetryPolicy,
) -> float | None:
    """Deliver due messages; return the seconds until the next is due, None after an error."""
    try:
        await deliver_due(services, handlers, stop=stop, policy=policy)
        due_at = await services.database.read(
            lambda uow: uow.outbox.next_due(kinds=tuple(handlers))
        )
    except Exception as error:  # noqa: BLE001 - logged by the task
        task.fail(error)
        return None
    task.succeed()
    if due_at is None:
        return policy.poll_seconds
    seconds = (due_at - services.clock()).total_seconds()
    return min(max(seconds, MIN_WAIT_SECONDS), policy.poll_seconds)


async def _deliver(
    services: Services, handler: Handler, message: Message, policy: RetryPolicy
) -> None:
    error = await _attempt(services, handler, message, policy)
    now = services.clock()
    if error is None:
        if await _update_message(
            services, message, lambda uow: uow.outbox.finish(message, now=now)
        ):
            log.info("outbox_message_delivered", **_log_fields(message))
        return
    failure = _failure_name(error)
    if isinstance(error, Undeliverable) or message.attempts >= policy.max_attempts:
        if await _update_message(
            services,
            message,
            lambda uow: uow.outbox.dead_letter(message, failure=failure, now=now),
        ):
            log.error("outbox_message_died", failure=failure, **_log_fields(message))
        return
    due_at = now + policy.retry_after(message.attempts, error)
    if await _update_message(
        services, message, lambda uow: uow.outbox.fail(message, failure=failure, due_at=due_at)
    ):
        log.warning("outbox_message_failed", failure=failure, due_at=due_at, **_log_fields(message))


async def _attempt(
    services: Services, handler: Handler, message: Message, policy: RetryPolicy
) -> Exception | None:
    if message.attempts > policy.max_attempts:
        return Abandoned()
    try:
        async with asyncio.timeout(policy.lease.total_seconds() / 2):
            await handler(services, message)
    except (DomainError, TimeoutError, Undeliverable) as error:
        return error
    except Exception as error:
        log.exception("outbox_handler_broke", **_log_fields(message))
        return error
    return None


async def _update_message(services: Services, message: Message, work: Work[bool]) -> bool:
    """Record a result. False if the lease was lost, so that another process delivers again."""
    try:
        is_updated = await services.database.run(work)
    except ServiceUnavailable:
        log.warning("outbox_message_not_settled", **_log_fields(message))
        return False
    if not is_updated:
        log.warning("outbox_lease_lost", **_log_fields(message))
    return is_updated


def _failure_name(error: BaseException) -> str:
    """Return the code or class of an error; its message may contain personal data."""
    if isinstance(error, DomainError):
        return error.code
    if isinstance(error, Undeliverable) and error.__cause__ is not None:
        return _failure_name(error.__cause__)
    return type(error).__name__


def _log_fields(message: Message) -> dict[str, object]:
    return {"message_id": message.id, "kind": message.kind, "attempts": message.attempts}
