"""Run the server in one process, or in several that share a port."""

import observability.without_rich  # noqa: F401 - before structlog

# isort: split

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module, invalidate_caches
from multiprocessing.connection import Connection
from pathlib import Path
from socket import socket
from tempfile import TemporaryDirectory

import structlog
import uvicorn
from starlette.types import ASGIApp

from observability.metrics import MULTIPROC_DIR_VARIABLE
from persistence.embedded.server import EmbeddedPostgres
from persistence.embedded.supervision import restart_on_exit
from resilience.background_tasks import BackgroundTask, BackgroundTasks
from resilience.shutdown_deadline import ForcedExit
from resolvers.documents.jobs import HANDLERS
from resolvers.operations.outbox import run_outbox
from resolvers.services import Services
from server import create_app
from settings import Settings, configure_logging_from
from web.server.graceful_shutdown import DrainingServer, ShutdownState
from web.server.protocol import ConnectionLimits, protocol_factory
from web.server.supervisor import (
    READY,
    Family,
    Lines,
    WorkerFailed,
    Workers,
    check_port_free,
    reuseport_socket,
)

# New objects, and young and middle collections, before the next: a page of teams makes thousands.
GC_THRESHOLDS = (10_000, 20, 20)
# For processes to end in after all that they leave to their clients.
STOP_SECONDS = 10
# For others to take the place of those whose parent was killed.
ORPHAN_SECONDS = 20
# For the embedded database to end in order, even when nothing is left of the grace period.
DATABASE_STOP_SECONDS = 5
FORK = "import sys, runner; runner.fork_workers(int(sys.argv[1]))"
# By the first team, not by the start, and long to import.
WARM_UP_MODULES = ("domain.registration.notations",)

log = structlog.get_logger(__name__)


class StartupError(Exception):
    """The server cannot start; the message says why."""


def serve(settings: Settings, url: str, embedded: EmbeddedPostgres | None) -> None:
    """Serve until SIGINT or SIGTERM. An `embedded` database is started again when it was killed.

    Raises StartupError.
    """
    try:
        check_port_free(settings.host, settings.port)
    except OSError as error:
        where = f"{settings.host}, {settings.port}"
        raise StartupError(f"HOST, PORT: {where}: {error.strerror}.") from error
    if settings.workers == 1:
        Server(settings, url, embedded=embedded).run()
        return
    with TemporaryDirectory(prefix="icct26-metrics-") as folder:
        # Read by those that are started from here on, wherever the command was given.
        os.environ[MULTIPROC_DIR_VARIABLE] = folder
        os.environ["PYTHONPATH"] = os.pathsep.join(
            [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        )
        handlers = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            asyncio.run(_serve_together(settings, url, embedded))
        except WorkerFailed as error:
            raise StartupError("A process that should serve ended while it started.") from error
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)


async def _serve_together(settings: Settings, url: str, embedded: EmbeddedPostgres | None) -> None:
    """Raises WorkerFailed."""
    stop = stop_by_signal()
    family = Family(FORK, (settings, url, embedded.data_dir if embedded else None))
    watch = _watch(embedded, BackgroundTasks())
    seconds = settings.shutdown_notice_seconds + settings.shutdown_grace_seconds + STOP_SECONDS
    try:
        await family.run(stop, stop_seconds=seconds)
    finally:
        if embedded is not None:
            embedded.stop_seconds = DATABASE_STOP_SECONDS
        if watch is not None:
            watch.cancel()
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))


def _watch(
    embedded: EmbeddedPostgres | None, background: BackgroundTasks
) -> asyncio.Task[None] | None:
    if embedded is None:
        return None
    return background.start(
        "embeddedDatabase", partial(restart_on_exit, embedded), healthy_after_seconds=None
    )


def fork_workers(descriptor: int) -> None:
    """Fork those who serve until told to stop; in a process of its own, which never has threads.

    `descriptor` is of the connection to the supervisor. Without it, the embedded database is
    stopped too.
    """
    supervisor = Connection(descriptor)
    settings, url, data_dir = supervisor.recv()
    configure_logging_from(settings)
    for module in preload_modules(settings):
        import_module(module)
    # The collector would write to what is shared, and each would have its own.
    gc.freeze()
    workers = Workers(partial(work, settings, url), count=settings.workers, supervisor=supervisor)
    seconds = settings.shutdown_notice_seconds + settings.shutdown_grace_seconds + STOP_SECONDS
    try:
        is_alone = workers.run(partial(print_address, settings), stop_seconds=seconds)
    except WorkerFailed:
        sys.exit(1)
    if is_alone:
        log.error("supervisor_ended")
        if data_dir is not None:
            with EmbeddedPostgres(data_dir):
                pass


def preload_modules(settings: Settings) -> list[str]:
    """By the process that all who serve are forked from."""
    counts = ["web.rate_limiting.redis_store"] if settings.shares_rate_limits else []
    return [__name__, *WARM_UP_MODULES, *counts]


def work(settings: Settings, url: str, lines: Lines) -> None:
    """Serve as one of several processes."""
    Server(settings, url, lines=lines).run([reuseport_socket(settings.host, settings.port)])


def stop_by_signal() -> asyncio.Event:
    """Set by SIGINT and SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def run_outbox_worker(services: Services) -> None:
    """Deliver outbox messages until SIGINT or SIGTERM."""
    stop = stop_by_signal()
    print("The worker is running.", flush=True)
    await run_outbox(services, HANDLERS, stop)


def uvicorn_config(settings: Settings, app: ASGIApp, drain: ShutdownState) -> uvicorn.Config:
    limits = ConnectionLimits(
        head_seconds=settings.header_timeout_seconds,
        stall_seconds=settings.upload_stall_seconds,
        drain=drain,
    )
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=protocol_factory(limits),
        ws="none",
        log_config=None,
        access_log=False,
        # A request must not see context variables of another one.
        reset_contextvars=True,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=settings.shutdown_grace_seconds,
    )


def print_address(settings: Settings) -> None:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"http://{host}:{settings.port}"
    page = "graphiql" if settings.graphiql else "health"
    print(f"{settings.app_title} is on {address} — open {address}/{page}", flush=True)


def warm_up() -> None:
    """Import all modules that can be. Raises ImportError with the names of the others.

    A broken module may raise anything; its error is the cause.
    """
    failed: dict[str, Exception] = {}
    # A library that was repaired meanwhile is looked for anew.
    invalidate_caches()
    for module in WARM_UP_MODULES:
        try:
            import_module(module)
        except Exception as error:  # noqa: BLE001 - raised below
            failed[module] = error
    log.debug("modules_imported", count=len(WARM_UP_MODULES) - len(failed))
    if failed:
        raise ImportError(", ".join(failed)) from next(iter(failed.values()))


async def _import_later(_task: BackgroundTask) -> None:
    """Raises ImportError: teams cannot be taken until the module is there."""
    await asyncio.to_thread(warm_up)


class Server(DrainingServer):
    """uvicorn, saying in one line where it is and what to open.

    One of several says on its line to its parent that it serves. It ends with the supervisor, and
    some time after its parent: until then, others are started.
    """

    def __init__(
        self,
        settings: Settings,
        url: str,
        *,
        embedded: EmbeddedPostgres | None = None,
        lines: Lines | None = None,
    ) -> None:
        self._settings = settings
        self._lines = lines
        self._embedded = embedded
        self._own: list[asyncio.Task[None] | None] = []
        self._background = BackgroundTasks()
        drain = ShutdownState()
        super().__init__(
            uvicorn_config(settings, create_app(settings, url, drain, self._background), drain),
            drain,
            notice_seconds=settings.shutdown_notice_seconds,
            forced_exit=ForcedExit(self._stop_database),
        )

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.started:
            return
        # What is there by now stays; the collector need not walk it again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        # Kept here: the loop itself keeps no task.
        self._own = [
            self._background.start("imports", _import_later),
            _watch(self._embedded, self._background),
        ]
        if self._lines is None:
            print_address(self._settings)
            return
        self._lines.parent.send_bytes(READY)
        loop = asyncio.get_running_loop()
        _at_end(self._lines.parent, lambda: loop.call_later(ORPHAN_SECONDS, self._leave))
        _at_end(self._lines.supervisor, self._leave)

    def _stop_database(self) -> None:
        """End the embedded database soon: it must not outlive a process that is ended by force."""
        if self._embedded is not None:
            self._embedded.stop_seconds = DATABASE_STOP_SECONDS
            self._embedded.stop()

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        await super().shutdown(sockets)
        for task in filter(None, self._own):
            task.cancel()
        if self._embedded is not None:
            left = self._drain.seconds_left(otherwise=0)
            self._embedded.stop_seconds = max(DATABASE_STOP_SECONDS, left)

    def _leave(self) -> None:
        self.handle_exit(signal.SIGTERM, None)


def _at_end(line: Connection, act: Callable[[], object]) -> None:
    """Call `act` once, at the end of a line on which nothing more is sent."""
    loop, descriptor = asyncio.get_running_loop(), line.fileno()

    def end() -> None:
        loop.remove_reader(descriptor)
        act()

    loop.add_reader(descriptor, end)
