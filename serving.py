"""How the service runs: by one process, or by several that share a port."""

import resilience.without_rich  # noqa: F401 - before structlog

# isort: split

import asyncio
import gc
import os
import signal
from functools import partial
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from socket import socket
from tempfile import TemporaryDirectory

import structlog

from persistence.embedded import EmbeddedPostgres
from persistence.supervision import revive
from resilience.metrics import FOLDER
from server import create_app, uvicorn_config
from settings import Settings, log_as
from web.draining import Drain, DrainingServer
from web.workers import READY, WorkerFailed, Workers, require_free, shared_socket

# New objects, and young and middle collections, before the next: a page of teams makes thousands.
COLLECTED_AFTER = (10_000, 20, 20)
# For processes to end in after all that they leave to their clients.
STOP_SECONDS = 10
# By the first team, not by the start, and long to import.
NEEDED_LATER = ("domain.notations",)

log = structlog.get_logger(__name__)


class NotServed(Exception):
    """Why nobody is served."""


def serve(settings: Settings, url: str, embedded: EmbeddedPostgres | None) -> None:
    """Until SIGINT or SIGTERM. An `embedded` database is started again when it was killed.

    Raises NotServed.
    """
    try:
        require_free(settings.host, settings.port)
    except OSError as error:
        where = f"{settings.host}, {settings.port}"
        raise NotServed(f"HOST, PORT: {where}: {error.strerror}.") from error
    if settings.workers == 1:
        Server(settings, url, embedded=embedded).run()
        return
    with TemporaryDirectory(prefix="icct26-metrics-") as folder:
        # Read by those that are started from here on, wherever the command was given.
        os.environ[FOLDER] = folder
        os.environ["PYTHONPATH"] = os.pathsep.join(
            [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        )
        handlers = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
        try:
            asyncio.run(_serve_together(settings, url, embedded))
        except WorkerFailed as error:
            raise NotServed("A process that should serve ended while it started.") from error
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)


async def _serve_together(settings: Settings, url: str, embedded: EmbeddedPostgres | None) -> None:
    """Raises WorkerFailed."""
    stop = stop_by_signal()
    workers = Workers(
        work, (settings, url), count=settings.workers, modules=imported_once(settings)
    )
    watch = asyncio.create_task(revive(embedded)) if embedded else None
    seconds = settings.shutdown_notice_seconds + settings.shutdown_grace_seconds + STOP_SECONDS
    try:
        await workers.run(stop, partial(print_address, settings), stop_seconds=seconds)
    finally:
        if watch is not None:
            watch.cancel()


def imported_once(settings: Settings) -> list[str]:
    """By the process that all who serve are forked from."""
    counts = ["web.shared_windows"] if settings.shares_rate_limits else []
    return [__name__, *NEEDED_LATER, *counts]


def work(settings: Settings, url: str, line: Connection) -> None:
    """One of several processes that serve."""
    # The collector would write to what is shared, and each would have its own.
    gc.freeze()
    log_as(settings)
    Server(settings, url, line=line).run([shared_socket(settings.host, settings.port)])


def stop_by_signal() -> asyncio.Event:
    """Set by SIGINT and SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def print_address(settings: Settings) -> None:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"http://{host}:{settings.port}"
    page = "graphiql" if settings.graphiql else "health"
    print(f"{settings.app_title} is on {address} — open {address}/{page}", flush=True)


def import_later() -> None:
    for module in NEEDED_LATER:
        try:
            import_module(module)
        except ImportError:
            log.exception("import_failed", module=module)


class Server(DrainingServer):
    """uvicorn, saying in one line where it is and what to open.

    One of several says on its `line` that it serves, and ends when nobody is at the other end.
    """

    def __init__(
        self,
        settings: Settings,
        url: str,
        *,
        embedded: EmbeddedPostgres | None = None,
        line: Connection | None = None,
    ) -> None:
        self._settings = settings
        self._line = line
        self._embedded = embedded
        self._watch: asyncio.Task[None] | None = None
        drain = Drain()
        super().__init__(
            uvicorn_config(settings, create_app(settings, url, drain), drain),
            drain,
            notice_seconds=settings.shutdown_notice_seconds,
        )

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.started:
            return
        # What is there by now stays; the collector need not walk it again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECTED_AFTER)
        asyncio.get_running_loop().run_in_executor(None, import_later)
        if self._embedded is not None:
            self._watch = asyncio.create_task(revive(self._embedded))
        if self._line is None:
            print_address(self._settings)
        else:
            self._line.send_bytes(READY)
            asyncio.get_running_loop().add_reader(self._line.fileno(), self._leave)

    def _leave(self) -> None:
        asyncio.get_running_loop().remove_reader(self._line.fileno() if self._line else -1)
        self.handle_exit(signal.SIGTERM, None)
