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
from contextlib import suppress
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
    Supervisor,
    WorkerFailed,
    WorkerPipes,
    Workers,
    check_port_free,
    reuseport_socket,
)

# Thresholds of gc.set_threshold: new objects before a collection of the youngest generation, and
# such collections before one of the next generation. A page of teams makes thousands of objects.
GC_THRESHOLDS = (10_000, 20, 20)
# Added to the grace period, for processes to end.
STOP_SECONDS = 10
# Time for which a worker goes on serving after its parent was killed, while new workers start.
ORPHAN_SECONDS = 20
# Minimum time for the embedded database to stop cleanly, even at the end of the grace period.
DATABASE_STOP_SECONDS = 5
DATABASE_TASK = "embeddedDatabase"
FORK_PROGRAM = "import sys, runner; runner.fork_workers(int(sys.argv[1]))"
# Needed by the first registration, not by the start, and slow to import.
WARM_UP_MODULES = ("email_validator", "phonenumbers")

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
        address = f"{settings.host}, {settings.port}"
        raise StartupError(f"HOST, PORT: {address}: {error.strerror}.") from error
    if settings.workers == 1:
        Server(settings, url, embedded=embedded).run()
        return
    with TemporaryDirectory(prefix="icct26-metrics-") as folder:
        # For the processes that are started from here on, in whatever folder the command was given.
        os.environ[MULTIPROC_DIR_VARIABLE] = folder
        os.environ["PYTHONPATH"] = os.pathsep.join(
            [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        )
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            asyncio.run(_serve_with_workers(settings, url, embedded))
        except WorkerFailed as error:
            raise StartupError("A process that should serve ended while it started.") from error
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)


async def _serve_with_workers(
    settings: Settings, url: str, embedded: EmbeddedPostgres | None
) -> None:
    """Serve with a supervisor and worker processes. Raises WorkerFailed."""
    stop = stop_by_signal()
    supervisor = Supervisor(FORK_PROGRAM, (settings, url, embedded.data_dir if embedded else None))
    watch = _watch(embedded, BackgroundTasks(), _failure_file())
    seconds = settings.shutdown_notice_seconds + settings.shutdown_grace_seconds + STOP_SECONDS
    try:
        await supervisor.run(stop, stop_seconds=seconds)
    finally:
        if embedded is not None:
            embedded.stop_seconds = DATABASE_STOP_SECONDS
        if watch is not None:
            watch.cancel()
        # `asyncio.run` waits for the threads of the default executor. A new executor has none, so
        # that a restart of the database that is under way does not delay the exit.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))


def _watch(
    embedded: EmbeddedPostgres | None,
    background: BackgroundTasks,
    failure_file: Path | None = None,
) -> asyncio.Task[None] | None:
    if embedded is None:
        return None
    return background.start(
        DATABASE_TASK,
        partial(restart_on_exit, embedded),
        healthy_after_seconds=None,
        failure_file=failure_file,
    )


def _failure_file() -> Path:
    """Return the file by which the supervisor tells the workers that the restart fails."""
    return Path(os.environ[MULTIPROC_DIR_VARIABLE]) / f"{DATABASE_TASK}.failed"


def fork_workers(descriptor: int) -> None:
    """Fork worker processes and wait for their end, in a process that never has threads.

    `descriptor` is the file descriptor of the pipe to the supervisor. When the supervisor is gone,
    the embedded database is stopped too.
    """
    supervisor = Connection(descriptor)
    settings, url, data_dir = supervisor.recv()
    configure_logging_from(settings)
    for module in preload_modules(settings):
        import_module(module)
    # A collection would write to the memory that the workers share, and give each a copy.
    gc.freeze()
    work = partial(run_worker, settings, url, is_embedded=data_dir is not None)
    workers = Workers(work, count=settings.workers, supervisor=supervisor)
    seconds = settings.shutdown_notice_seconds + settings.shutdown_grace_seconds + STOP_SECONDS
    try:
        has_lost_supervisor = workers.run(partial(print_address, settings), stop_seconds=seconds)
    except WorkerFailed:
        sys.exit(1)
    if has_lost_supervisor:
        log.error("supervisor_ended")
        if data_dir is not None:
            # Stopping shuts the server down only for a process that uses it.
            embedded = EmbeddedPostgres(data_dir)
            embedded.start()
            embedded.stop()


def preload_modules(settings: Settings) -> list[str]:
    """Return the modules to import before workers are forked."""
    store = ["web.rate_limiting.redis_store"] if settings.shares_rate_limits else []
    return [__name__, *WARM_UP_MODULES, *store]


def run_worker(settings: Settings, url: str, pipes: WorkerPipes, *, is_embedded: bool) -> None:
    """Serve as one of several processes."""
    server = Server(settings, url, pipes=pipes)
    if is_embedded:
        server.background.mirror(DATABASE_TASK, _failure_file())
    server.run([reuseport_socket(settings.host, settings.port)])


def stop_by_signal() -> asyncio.Event:
    """Return an event that SIGINT and SIGTERM set."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def run_outbox_worker(services: Services) -> None:
    """Deliver outbox messages until SIGINT or SIGTERM."""
    stop = stop_by_signal()
    print("The worker is running.", flush=True)
    await run_outbox(services, HANDLERS, stop)


def uvicorn_config(settings: Settings, app: ASGIApp, shutdown: ShutdownState) -> uvicorn.Config:
    limits = ConnectionLimits(
        head_seconds=settings.header_timeout_seconds,
        stall_seconds=settings.upload_stall_seconds,
        shutdown=shutdown,
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
    """Import WARM_UP_MODULES. Raises ImportError with the names of those that cannot be imported.

    A broken module may raise anything; its error is the cause.
    """
    failed: dict[str, Exception] = {}
    # Modules that were repaired since the last attempt are found again.
    invalidate_caches()
    for module in WARM_UP_MODULES:
        try:
            import_module(module)
        except Exception as error:  # noqa: BLE001 - raised below
            failed[module] = error
    log.debug("modules_imported", count=len(WARM_UP_MODULES) - len(failed))
    if failed:
        raise ImportError(", ".join(failed)) from next(iter(failed.values()))


async def _warm_up_in_thread(_task: BackgroundTask) -> None:
    """Raises ImportError, which health shows: teams cannot register without these modules."""
    await asyncio.to_thread(warm_up)


class Server(DrainingServer):
    """A uvicorn server that prints its address.

    A worker reports to its parent that it serves, and prints nothing. It ends with the supervisor,
    and ORPHAN_SECONDS after its parent.
    """

    def __init__(
        self,
        settings: Settings,
        url: str,
        *,
        embedded: EmbeddedPostgres | None = None,
        pipes: WorkerPipes | None = None,
    ) -> None:
        self._settings = settings
        self._pipes = pipes
        self._embedded = embedded
        self._tasks: list[asyncio.Task[None] | None] = []
        self.background = BackgroundTasks()
        shutdown = ShutdownState()
        super().__init__(
            uvicorn_config(
                settings, create_app(settings, url, shutdown, self.background), shutdown
            ),
            shutdown,
            notice_seconds=settings.shutdown_notice_seconds,
            forced_exit=ForcedExit(self._stop_database),
        )

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.started:
            return
        # All that exists by now stays: full collections need not look at it.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        # The loop has only weak references to tasks.
        self._tasks = [
            self.background.start("imports", _warm_up_in_thread),
            _watch(self._embedded, self.background),
        ]
        if self._pipes is None:
            print_address(self._settings)
            return
        # A parent that was killed meanwhile is noticed below.
        with suppress(BrokenPipeError):
            self._pipes.parent.send_bytes(READY)
        loop = asyncio.get_running_loop()
        _on_close(self._pipes.parent, lambda: loop.call_later(ORPHAN_SECONDS, self._begin_shutdown))
        _on_close(self._pipes.supervisor, self._begin_shutdown)

    def _stop_database(self) -> None:
        """Stop the embedded database: it must not outlive a process that is killed."""
        if self._embedded is not None:
            self._embedded.stop_seconds = DATABASE_STOP_SECONDS
            self._embedded.stop()

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        await super().shutdown(sockets)
        for task in filter(None, self._tasks):
            task.cancel()
        if self._embedded is not None:
            left = self._drain.seconds_left(otherwise=0)
            self._embedded.stop_seconds = max(DATABASE_STOP_SECONDS, left)

    def _begin_shutdown(self) -> None:
        self.handle_exit(signal.SIGTERM, None)


def _on_close(pipe: Connection, act: Callable[[], object]) -> None:
    """Call `act` when the other end of a pipe is closed."""
    loop, descriptor = asyncio.get_running_loop(), pipe.fileno()

    def end() -> None:
        loop.remove_reader(descriptor)
        act()

    loop.add_reader(descriptor, end)
