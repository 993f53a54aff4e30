"""Delivery, retries and dead letters of the outbox."""

import asyncio
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from domain.errors.exceptions import MailUnavailable, ServiceUnavailable, StorageUnavailable
from resolvers.operations.outbox import RetryPolicy, Undeliverable, deliver_due

KIND = "file.move"
STEADY = RetryPolicy(jitter=lambda: 0)
PRIVATE = "Anand Kumar"


@pytest.fixture
def enqueue(services, clock):
    """Add messages with these numbers, each due 1 ms after the one before, the last one now."""

    async def owe_messages(*numbers, kind=KIND):
        for offset, number in enumerate(numbers, start=1 - len(numbers)):
            values = {"kind": kind, "payload": {"number": number}, "now": clock()}
            due_at = clock() + timedelta(milliseconds=offset)
            await services.database.run(
                lambda uow, values=values, due_at=due_at: uow.outbox.add(**values, due_at=due_at)
            )

    return owe_messages


class RecordingHandler(list):
    """A handler that records deliveries and fails with `error` if it is set."""

    error = None

    async def __call__(self, _services, message):
        if self.error is not None:
            raise self.error
        self.append(message.payload["number"])


async def state(sql):
    """Return the state of the only message."""
    [row] = await sql.fetch(
        "SELECT due_at, attempts, finished_at, dead_at, failure FROM outbox_message"
    )
    return dict(row)


async def attempts(sql):
    return [
        tuple(row)
        for row in await sql.fetch(
            "SELECT (payload->>'number')::int, attempts, finished_at IS NOT NULL"
            " FROM outbox_message ORDER BY 1"
        )
    ]


def events(logs):
    return [(entry["event"], entry["log_level"], entry["attempts"]) for entry in logs]


async def test_message_is_delivered_once_and_finished(services, sql, clock, enqueue):
    delivered = RecordingHandler()
    await enqueue(26)

    with capture_logs() as logs:
        assert await deliver_due(services, {KIND: delivered}) == 1
        assert await deliver_due(services, {KIND: delivered}) == 0

    assert delivered == [26]
    finished = await state(sql)
    assert (finished["finished_at"], finished["dead_at"]) == (clock(), None)
    assert events(logs) == [("outbox_message_delivered", "info", 1)]


async def test_handler_runs_outside_a_transaction_on_a_leased_message(
    services, sql, clock, enqueue
):
    seen = []

    async def look(_services, message):
        open_transactions = await sql.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND xact_start IS NOT NULL"
        )
        seen.append((message.attempts, open_transactions, await state(sql)))

    await enqueue(1)
    await deliver_due(services, {KIND: look})

    leased = {"attempts": 1, "due_at": clock() + timedelta(seconds=120)}
    unsettled = {"finished_at": None, "dead_at": None, "failure": None}
    assert seen == [(1, 0, leased | unsettled)]


async def test_at_most_four_messages_are_delivered_at_once(services, enqueue):
    four, running, most = asyncio.Barrier(4), 0, 0

    async def wait_for_three_others(_services, _message):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await four.wait()
        running -= 1

    await enqueue(*range(12))

    assert await deliver_due(services, {KIND: wait_for_three_others}) == 12
    assert most == 4


async def test_message_due_longest_is_delivered_first(services, enqueue):
    delivered = RecordingHandler()
    await enqueue(3, 1, 2)

    assert await deliver_due(services, {KIND: delivered}, limit=1) == 3
    assert delivered == [3, 1, 2]


async def test_each_kind_goes_to_its_handler_and_unhandled_kinds_stay(services, sql, enqueue):
    moved, deleted = RecordingHandler(), RecordingHandler()
    await enqueue(1)
    await enqueue(2, kind="file.delete")
    await enqueue(3, kind="mail.team_received")

    assert await deliver_due(services, {KIND: moved, "file.delete": deleted}) == 2

    assert (moved, deleted) == ([1], [2])
    assert await attempts(sql) == [(1, 1, True), (2, 1, True), (3, 0, False)]


async def test_failures_are_retried_with_doubled_waits_up_to_sixteen_attempts(
    services, sql, clock, enqueue
):
    delivered, waits = RecordingHandler(), []
    delivered.error = ValueError(PRIVATE)
    await enqueue(1)

    with capture_logs() as logs:
        while (failed := await state(sql))["dead_at"] is None:
            clock.now = failed["due_at"]
            await deliver_due(services, {KIND: delivered}, policy=STEADY)
            waits.append(((await state(sql))["due_at"] - clock()).total_seconds())

    assert waits == [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, *[3600] * 5, 120]
    assert (failed["attempts"], failed["failure"]) == (16, "ValueError")
    assert (failed["dead_at"], failed["finished_at"]) == (clock(), None)
    settled = [entry for entry in logs if entry["event"] != "outbox_handler_broke"]
    assert events(settled) == [
        *[("outbox_message_failed", "warning", number) for number in range(1, 16)],
        ("outbox_message_died", "error", 16),
    ]
    assert len(logs) == 32
    assert PRIVATE not in str(settled)


async def test_message_is_not_retried_before_its_wait_is_over(services, clock, enqueue):
    delivered = RecordingHandler()
    delivered.error = StorageUnavailable(retry_after_seconds=0)
    await enqueue(1)
    await deliver_due(services, {KIND: delivered}, policy=STEADY)
    delivered.error = None

    clock.advance(seconds=4.999)
    early = await deliver_due(services, {KIND: delivered}, policy=STEADY)
    clock.advance(seconds=0.001)

    assert early == 0
    assert await deliver_due(services, {KIND: delivered}, policy=STEADY) == 1
    assert delivered == [1]


async def test_dead_letter_is_never_retried(services, clock, enqueue):
    delivered = RecordingHandler()
    delivered.error = Undeliverable()
    await enqueue(1)
    await deliver_due(services, {KIND: delivered})
    delivered.error = None
    clock.advance(days=400)

    assert await deliver_due(services, {KIND: delivered}) == 0
    assert delivered == []


def test_wait_grows_to_an_hour_and_jitter_shortens_it_by_up_to_a_fifth():
    at_most, at_least = RetryPolicy(jitter=lambda: 0), RetryPolicy(jitter=lambda: 1)

    longest = [at_most.retry_after(n, ValueError()).total_seconds() for n in (9, 10, 11, 30)]
    shortest = [at_least.retry_after(n, ValueError()).total_seconds() for n in (1, 2, 9, 30)]

    assert longest == [1280, 2560, 3600, 3600]
    assert shortest == [4, 8, 1024, 2880]


@pytest.mark.parametrize(
    ("error", "attempt", "seconds"),
    [
        (StorageUnavailable(), 1, 60),
        (StorageUnavailable(), 4, 60),
        (StorageUnavailable(), 5, 80),
        (MailUnavailable(retry_after_seconds=7200), 9, 7200),
        (ServiceUnavailable(), 1, 5),
    ],
)
def test_wait_is_at_least_the_errors_retry_after(error, attempt, seconds):
    assert STEADY.retry_after(attempt, error) == timedelta(seconds=seconds)


async def test_domain_error_is_recorded_by_its_code(services, sql, clock, enqueue):
    delivered = RecordingHandler()
    delivered.error = StorageUnavailable(PRIVATE)
    await enqueue(1)

    with capture_logs() as logs:
        await deliver_due(services, {KIND: delivered}, policy=STEADY)

    failed = await state(sql)
    assert failed["failure"] == "STORAGE_UNAVAILABLE"
    assert failed["due_at"] == clock() + timedelta(seconds=60)
    assert events(logs) == [("outbox_message_failed", "warning", 1)]
    assert PRIVATE not in str(logs)


@pytest.mark.parametrize(
    ("cause", "failure"),
    [
        (None, "Undeliverable"),
        (KeyError(PRIVATE), "KeyError"),
        (StorageUnavailable(PRIVATE), "STORAGE_UNAVAILABLE"),
    ],
)
async def test_undeliverable_message_becomes_a_dead_letter_at_once(
    services, sql, enqueue, cause, failure
):
    delivered = RecordingHandler()
    delivered.error = Undeliverable(PRIVATE)
    delivered.error.__cause__ = cause
    await enqueue(1)

    with capture_logs() as logs:
        assert await deliver_due(services, {KIND: delivered}) == 1

    dead = await state(sql)
    assert (dead["dead_at"], dead["attempts"], dead["failure"]) == (services.clock(), 1, failure)
    assert events(logs) == [("outbox_message_died", "error", 1)]
    assert PRIVATE not in str(logs)


async def test_unexpected_exception_is_logged_and_does_not_affect_other_messages(
    services, sql, enqueue
):
    async def break_at_two(_services, message):
        if message.payload["number"] == 2:
            raise LookupError(PRIVATE)

    await enqueue(1, 2, 3)
    with capture_logs() as logs:
        assert await deliver_due(services, {KIND: break_at_two}) == 3

    assert await attempts(sql) == [(1, 1, True), (2, 1, False), (3, 1, True)]
    assert await sql.fetchval("SELECT failure FROM outbox_message WHERE failure > ''") == (
        "LookupError"
    )
    [broken] = [entry for entry in logs if entry["event"] == "outbox_handler_broke"]
    assert (broken["log_level"], broken["exc_info"]) == ("error", True)


async def test_handler_is_cancelled_after_half_the_lease(services, sql, enqueue):
    forever = asyncio.Event()

    async def hang(_services, _message):
        await forever.wait()

    await enqueue(1)
    await deliver_due(services, {KIND: hang}, policy=RetryPolicy(lease=timedelta(milliseconds=20)))

    failed = await state(sql)
    assert (failed["failure"], failed["attempts"]) == ("TimeoutError", 1)


async def test_message_leased_sixteen_times_becomes_a_dead_letter_without_delivery(
    services, sql, clock, enqueue
):
    delivered = RecordingHandler()
    await enqueue(1)
    await sql.execute("UPDATE outbox_message SET attempts = 16")

    assert await deliver_due(services, {KIND: delivered}) == 1

    dead = await state(sql)
    assert (dead["dead_at"], dead["attempts"], dead["failure"]) == (clock(), 17, "Abandoned")
    assert delivered == []


async def test_stop_ends_delivery_between_batches(services, sql, enqueue):
    stop = asyncio.Event()

    async def deliver_and_stop(_services, message):
        if message.payload["number"] == 2:
            stop.set()

    await enqueue(1, 2, 3, 4)

    assert await deliver_due(services, {KIND: deliver_and_stop}, limit=1, stop=stop) == 2
    assert await deliver_due(services, {KIND: deliver_and_stop}, stop=stop) == 0
    assert await attempts(sql) == [(1, 1, True), (2, 1, True), (3, 0, False), (4, 0, False)]


async def test_delivery_in_progress_is_finished_after_stop(services, sql, enqueue):
    stop = asyncio.Event()

    async def deliver_after_the_stop(_services, message):
        if message.payload["number"] == 4:
            stop.set()
        await stop.wait()

    await enqueue(1, 2, 3, 4, 5)

    assert await deliver_due(services, {KIND: deliver_after_the_stop}, stop=stop) == 4
    assert [finished for _, _, finished in await attempts(sql)] == [True] * 4 + [False]


async def test_process_with_an_expired_lease_changes_nothing(services, sql, clock, enqueue):
    on_time = RecordingHandler()
    on_time.error = Undeliverable()

    async def outstay_the_lease(_services, _message):
        clock.advance(seconds=120)
        assert await deliver_due(services, {KIND: on_time}) == 1

    await enqueue(1)
    with capture_logs() as logs:
        assert await deliver_due(services, {KIND: outstay_the_lease}) == 1

    dead = await state(sql)
    assert (dead["attempts"], dead["dead_at"], dead["finished_at"]) == (2, clock(), None)
    assert events(logs) == [
        ("outbox_message_died", "error", 2),
        ("outbox_lease_lost", "warning", 1),
    ]
