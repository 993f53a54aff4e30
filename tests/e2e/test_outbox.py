"""Several outbox workers, some of them killed."""

import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import asyncpg
import pytest

from tests.databases import dsn
from tests.e2e.outbox_worker import KIND
from tests.server_processes import process_environment, wait_until

ROOT = Path(__file__).parents[2]
MESSAGES = 300
KILLS = 6
LISTENERS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND query LIKE 'LISTEN%'
"""
OTHERS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend'
      AND pid <> pg_backend_pid()
"""
DUE = "SELECT count(*) FROM outbox_message WHERE finished_at IS NULL AND due_at <= now()"
UNSETTLED = "SELECT (payload->>'number')::int FROM outbox_message WHERE finished_at IS NULL"


class Workers:
    """Worker processes that share an outbox and write to one file."""

    def __init__(self, url, folder, sql):
        self.url = url
        self.effects = folder / "effects"
        self.gate = folder / "gate"
        self.sql = sql
        self.running = []
        self._errors = (folder / "stderr").open("wb")

    def start(self, *arguments):
        command = [sys.executable, "-m", "tests.e2e.outbox_worker", self.url, str(self.effects)]
        process = subprocess.Popen(
            [*command, *arguments],
            cwd=ROOT,
            env=process_environment({}),
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
        )
        self.running.append(process)
        return process

    async def all_listen(self):
        async def enough():
            return await self.sql.fetchval(LISTENERS) == len(self.running)

        await wait_until(enough, f"{len(self.running)} processes listen")

    async def enqueue(self, numbers):
        await self.sql.execute(
            "INSERT INTO outbox_message (id, kind, payload, created_at, due_at)"
            " SELECT gen_random_uuid(), $1, jsonb_build_object('number', n), now(), now()"
            " FROM unnest($2::int[]) n",
            KIND,
            list(numbers),
        )

    def lines(self):
        """Return process ids and numbers in the order of writing."""
        if not self.effects.exists():
            return []
        return [tuple(map(int, line.split())) for line in self.effects.read_text().splitlines()]

    def numbers(self):
        return Counter(number for _, number in self.lines())

    def written_by(self, process):
        return sum(pid == process.pid for pid, _ in self.lines())

    async def pending(self):
        return {number for (number,) in await self.sql.fetch(UNSETTLED)}

    async def all_are_leased(self):
        async def nothing_is_due():
            return not await self.sql.fetchval(DUE)

        await wait_until(nothing_is_due, "every message is claimed")

    async def all_are_done(self):
        async def nothing_is_owed():
            return not await self.pending()

        await wait_until(nothing_is_owed, "every message is delivered")

    def kill(self, process):
        process.kill()
        process.wait()
        self.running.remove(process)

    async def end_leases(self):
        """Expire all leases."""
        await self.sql.execute("UPDATE outbox_message SET due_at = now() WHERE finished_at IS NULL")
        await self.sql.execute("NOTIFY outbox")

    async def end(self):
        for process in self.running:
            process.send_signal(signal.SIGTERM)
        await wait_until(
            lambda: None not in [item.poll() for item in self.running], "the processes end"
        )
        ended, self.running = self.running, []

        async def nobody_is_connected():
            return not await self.sql.fetchval(OTHERS)

        await wait_until(nobody_is_connected, "what the killed had sent is done")
        return [process.wait() for process in ended]

    def clean_up(self):
        for process in self.running:
            process.kill()
            process.wait()
        self._errors.close()


@pytest.fixture
async def workers(own_url, tmp_path):
    sql = await asyncpg.connect(dsn(own_url))
    created = Workers(own_url, tmp_path, sql)
    yield created
    created.clean_up()
    await sql.close()


async def test_three_processes_deliver_every_message_once(workers):
    for _ in range(3):
        workers.start()
    await workers.all_listen()

    await workers.enqueue(range(MESSAGES))
    await workers.all_are_done()

    assert await workers.end() == [0, 0, 0]
    assert workers.numbers() == dict.fromkeys(range(MESSAGES), 1)


async def test_only_messages_of_a_killed_process_are_delivered_again(workers):
    for _ in range(2):
        workers.start("--gate", str(workers.gate))
    killed = workers.start("--held-at", "20")
    await workers.all_listen()
    await workers.enqueue(range(MESSAGES))

    await wait_until(lambda: workers.written_by(killed) >= 20, "the third process holds messages")
    workers.kill(killed)
    workers.gate.touch()
    await workers.all_are_leased()
    assert await workers.end() == [0, 0]
    claimed, before = await workers.pending(), workers.numbers()
    workers.start()
    await workers.all_listen()
    await workers.end_leases()
    await workers.all_are_done()

    assert await workers.end() == [0]
    assert 1 <= len(claimed) <= 4
    assert set(before.values()) == {1}
    assert claimed | set(before) == set(range(MESSAGES))
    assert workers.numbers() == before + Counter(claimed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [31, 32, 33])
async def test_killed_processes_lose_no_message(workers, seed):
    chosen, again = random.Random(seed), Counter()

    for first in range(0, MESSAGES * KILLS, MESSAGES):
        for _ in range(3):
            workers.start()
        await workers.all_listen()
        await workers.all_are_done()
        written = len(workers.lines()) + chosen.randrange(1, MESSAGES)
        await workers.enqueue(range(first, first + MESSAGES))
        await wait_until(lambda least=written: len(workers.lines()) >= least, "the moment has come")
        workers.kill(chosen.choice(workers.running))
        await workers.all_are_leased()
        assert await workers.end() == [0, 0]
        claimed = await workers.pending()
        assert len(claimed) <= 4
        again.update(claimed & set(workers.numbers()))
        await workers.end_leases()

    workers.start()
    await workers.all_listen()
    await workers.all_are_done()
    assert await workers.end() == [0]
    assert workers.numbers() == Counter(range(MESSAGES * KILLS)) + again
