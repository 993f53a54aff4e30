"""An outbox worker to be killed by tests.

`python -m tests.e2e.outbox_worker URL EFFECTS [--held-at N | --gate PATH]`

A delivery appends a line with process id and number to the file EFFECTS. With `--held-at`,
deliveries from the N-th on never end; with `--gate`, they wait until PATH exists. SIGTERM ends the
process.
"""

import asyncio
import os
import signal
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from tempfile import TemporaryDirectory

from bootstrap import build_services
from persistence.engine.database import Database
from persistence.engine.engine import DatabaseOptions
from persistence.repositories.outbox import Message
from resolvers.operations.outbox import run_outbox
from resolvers.services import Services
from settings import load_settings
from tests.conftest import SECRET

KIND = "test.line"
POLL_SECONDS = 0.01


class Writer:
    def __init__(self, arguments: Namespace) -> None:
        self._file = os.open(arguments.effects, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._held_at = arguments.held_at
        self._gate = arguments.gate
        self._written = 0

    async def write(self, _services: Services, message: Message) -> None:
        os.write(self._file, f"{os.getpid()} {message.payload['number']}\n".encode())
        self._written += 1
        if self._written >= self._held_at:
            await asyncio.Event().wait()
        while self._gate is not None and not self._gate.exists():
            await asyncio.sleep(POLL_SECONDS)


async def work(arguments: Namespace, folder: Path) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    database = Database(DatabaseOptions(url=arguments.url))
    settings = load_settings(environment="test", data_dir=folder, secret_key=SECRET)
    await run_outbox(build_services(settings, database), {KIND: Writer(arguments).write}, stop)
    await database.close()


def main() -> None:
    parser = ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("effects", type=Path)
    parser.add_argument("--held-at", type=int, default=sys.maxsize)
    parser.add_argument("--gate", type=Path)
    with TemporaryDirectory() as folder:
        asyncio.run(work(parser.parse_args(), Path(folder)))


if __name__ == "__main__":
    main()
