"""Attacks of one client beside honest ones: `python benchmarks/hostile.py --help`.

The client has its full allowance. Prints a row for each attack: how long honest clients waited,
against the same without the attack, and how much memory stayed. Ends with 1 when a bar is broken.
"""

import argparse
import asyncio
import itertools
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

# Started as a script, Python looks for modules only beside it.
sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.attacks import ATTACKS, Attack, Attacker
from benchmarks.harness import connect
from benchmarks.honest_clients import KINDS, OPEN, HonestClients, Waits
from benchmarks.scenarios import ORGANISERS, page_body, registration_body, token
from benchmarks.seed import seed_organisers, seed_teams
from benchmarks.servers import ServerProcess, our_server
from integrations.storage.disk import MIN_FREE_BYTES
from persistence.embedded.server import EmbeddedPostgres
from resolvers.accounts.tokens import hash_token
from tests import factories

HONEST_BAR_SECONDS = 1.0
LIVEZ_BAR_SECONDS = 0.25
MEMORY_BAR_MB = 60
QUICK_SECONDS, FULL_SECONDS, QUIET_SECONDS = 1.5, 15.0, 3.0
# The server is left alone until the probe is quick again.
CALM_SECONDS, CALM_WITHIN_SECONDS = 0.1, 30
TEAMS = 200
OWNERS_TOKEN = token(ORGANISERS - 1)
# As an installation has them that sets none.
LIMITS = {
    "RATE_LIMIT_ALL": "600",
    "RATE_LIMIT_REQUESTS": "30",
    "RATE_LIMIT_QUERIES": "300",
    "RATE_LIMIT_UPLOADS": "1500",
}
OWNER = """
    WITH changed AS (
        UPDATE api_token SET role = 'OWNER' WHERE token_hash = $1 RETURNING organiser_id)
    UPDATE organiser SET role = 'OWNER' FROM changed WHERE id = changed.organiser_id
"""
AS_BEFORE = """
    UPDATE tournament SET capacity = NULL, teams_per_church = NULL, opens_at = NULL,
        closes_at = NULL, time_zone = 'Asia/Kolkata' WHERE is_active
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The effect of an attack on honest clients. Memory is in MB, before and afterwards."""

    name: str
    waits: Waits
    answers: int
    unintended: list[str]
    memory: tuple[float, float]
    free_bytes: int

    def broken(self) -> Iterator[str]:
        """Bars that do not hold."""
        slowest = {kind: self.waits.slowest(kind) for kind in KINDS}
        for kind, seconds in slowest.items():
            bar = LIVEZ_BAR_SECONDS if kind == "livez" else HONEST_BAR_SECONDS
            if seconds > bar:
                yield f"{kind} took {seconds:.2f} s (bar {bar:g})"
        if self.waits.refused:
            yield f"{len(self.waits.refused)} honest requests failed: {self.waits.refused[0]}"
        if self.unintended:
            yield f"{len(self.unintended)} unintended answers: {self.unintended[0]}"
        if self.memory[1] - self.memory[0] > MEMORY_BAR_MB:
            yield f"{self.memory[1] - self.memory[0]:.0f} MB stayed (bar {MEMORY_BAR_MB})"
        if self.free_bytes < MIN_FREE_BYTES:
            yield "the disk's reserve was used"


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_SECONDS:g} s for each attack")
    parser.add_argument("--seconds", type=float, help=f"for each attack ({FULL_SECONDS:g})")
    parser.add_argument(
        "--only", nargs="+", default=[], help="attacks whose names hold one of these"
    )
    return parser.parse_args()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Of an attack."""

    answers: int = 0
    unintended: list[str] = field(default_factory=list)


def attack_alone(address: str, name: str, client_number: int, seconds: float) -> Outcome:
    """Attack in this process, which is nobody else's."""
    (chosen,) = (one for one in ATTACKS if one.name == name)
    attacker = asyncio.run(attack(address, chosen, client_number, seconds))
    return Outcome(answers=attacker.answers, unintended=attacker.unintended)


async def attack(address: str, chosen: Attack, client_number: int, seconds: float) -> Attacker:
    """The attacker, after so many seconds."""
    until = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, until.set)
    numbers = itertools.count(client_number * 1_000_000)
    headers = {"X-Forwarded-For": f"10.66.0.{client_number}"}
    limits = httpx.Limits(max_connections=chosen.connections)
    async with httpx.AsyncClient(
        base_url=address, headers=headers, timeout=60, limits=limits
    ) as client:
        attacker = Attacker(client, OWNERS_TOKEN)

        async def repeat() -> None:
            while not until.is_set():
                await chosen.step(attacker, next(numbers))

        async with asyncio.TaskGroup() as tasks:
            for _ in range(chosen.connections):
                tasks.create_task(repeat())
    return attacker


@dataclass(slots=True, kw_only=True)
class Bench:
    """A server with its season, a process that attacks, and how long each attack lasts."""

    server: ServerProcess
    database_url: str
    seconds: float
    attacking: ProcessPoolExecutor
    honest: HonestClients = field(default_factory=HonestClients)

    async def run(self, chosen: Attack | None = None, place: int = 0) -> Row:
        """Without an attack, the honest clients alone."""
        address = f"http://127.0.0.1:{self.server.port}"
        await restore(self.database_url)
        before = self.server.resident_mb()
        until = asyncio.Event()
        seconds = self.seconds if chosen else max(self.seconds, QUIET_SECONDS)
        asyncio.get_running_loop().call_later(seconds, until.set)
        waiting = asyncio.create_task(self.honest.wait(address, until))
        outcome = Outcome()
        if chosen:
            outcome = await asyncio.get_running_loop().run_in_executor(
                self.attacking, attack_alone, address, chosen.name, place, seconds
            )
        waits = await waiting
        await calm(address)
        return Row(
            name=chosen.name if chosen else "(no attack)",
            waits=waits,
            answers=outcome.answers,
            unintended=outcome.unintended,
            memory=(before, self.server.resident_mb()),
            free_bytes=shutil.disk_usage(tempfile.gettempdir()).free,
        )

    async def measure(self, attacks: Sequence[Attack]) -> list[Row]:
        """The row without an attack first. What is run before that is the warm-up."""
        await self.run()
        rows = [await self.run()]
        show(rows[0], rows[0])
        for place, chosen in enumerate(attacks, start=1):
            rows.append(await self.run(chosen, place))
            show(rows[-1], rows[0])
        return rows


async def restore(database_url: str) -> None:
    async with connect(database_url) as connection:
        await connection.execute(AS_BEFORE)


async def calm(address: str) -> None:
    """Wait until the probe was quick ten times in a row."""
    loop = asyncio.get_running_loop()
    ends_at, quick = loop.time() + CALM_WITHIN_SECONDS, 0
    async with httpx.AsyncClient(base_url=address, timeout=CALM_WITHIN_SECONDS) as client:
        while quick < 10 and loop.time() < ends_at:
            began = loop.time()
            await client.get("/livez")
            quick = quick + 1 if loop.time() - began < CALM_SECONDS else 0
            await asyncio.sleep(0.02)


async def prepare(database_url: str) -> None:
    """A season with teams, organisers, and an owner."""
    async with connect(database_url) as connection:
        await seed_teams(connection, TEAMS)
        await seed_organisers(connection, [token(number) for number in range(ORGANISERS)])
        await connection.execute(OWNER, hash_token(OWNERS_TOKEN))


def show(row: Row, quiet: Row) -> None:
    cells = [
        f"{row.waits.slowest(kind) * 1000:6.0f} {_ratio(row.waits, quiet.waits, kind)}"
        for kind in KINDS
    ]
    verdict = "; ".join(row.broken()) or "ok"
    added = row.memory[1] - row.memory[0]
    print(f"{row.name:31}{row.answers:7} {' '.join(cells)} {added:+5.0f}  {verdict}", flush=True)


def _ratio(waits: Waits, quiet: Waits, kind: str) -> str:
    """The median as a multiple of the one without an attack."""
    alone = quiet.median(kind)
    return f"({waits.median(kind) / alone:5.1f}x)" if alone else "(     -)"


def measured(url: str, folder: Path, seconds: float, attacks: Sequence[Attack]) -> Iterator[str]:
    """Bars that do not hold, on a server for all documents and on one for trusted ones."""
    honest, is_prepared = HonestClients(), False
    with attacking() as executor:
        for is_trusted_only in (False, True):
            chosen = [one for one in attacks if one.is_trusted_only == is_trusted_only]
            if not chosen:
                continue
            variables = LIMITS | (trusted(folder) if is_trusted_only else {})
            name = "trusting" if is_trusted_only else "ours"
            with our_server(url, folder, name=name, **variables) as server:
                if not is_prepared:
                    asyncio.run(prepare(url))
                is_prepared = True
                bench = Bench(
                    server=server,
                    database_url=url,
                    seconds=seconds,
                    attacking=executor,
                    honest=honest,
                )
                yield from broken(asyncio.run(bench.measure(chosen)))


def broken(rows: Sequence[Row]) -> Iterator[str]:
    yield from (row.name for row in rows if any(row.broken()))
    start, end = rows[0].memory[0], rows[-1].memory[1]
    print(f"Memory: {start:.0f} MB after the warm-up, {end:.0f} MB at the end.")
    if end - start > MEMORY_BAR_MB:
        yield f"{end - start:.0f} MB more at the end"


@contextmanager
def attacking() -> Iterator[ProcessPoolExecutor]:
    """A process whose work keeps no honest client waiting for its answers to be read."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as executor:
        executor.submit(os.getpid).result()
        yield executor


def trusted(folder: Path) -> dict[str, str]:
    """A variable that names a file with the documents of honest clients."""
    bodies = (registration_body()(0), page_body(50)(0))
    documents = [factories.VALIDATE, OPEN, *(json.loads(body)["query"] for body in bodies)]
    path = folder / "trusted.json"
    path.write_text(json.dumps({f"document{n}": text for n, text in enumerate(documents)}))
    return {"TRUSTED_DOCUMENTS": str(path)}


def main() -> int:
    given = options()
    seconds = given.seconds or (QUICK_SECONDS if given.quick else FULL_SECONDS)
    attacks = [
        one for one in ATTACKS if not given.only or any(word in one.name for word in given.only)
    ]
    print(f"{'attack':31}answers  " + "  ".join(f"{kind:>12}" for kind in KINDS) + "    MB")
    print("Milliseconds of the slowest answer, and of the median against no attack.")
    with tempfile.TemporaryDirectory(prefix="icct26-hostile-") as name:
        folder = Path(name)
        with EmbeddedPostgres(folder / "database") as embedded:
            url = embedded.connected_url("icct26")
            failed = [*measured(url, folder, seconds, attacks)]
    print(f"FAILED: {', '.join(failed)}" if failed else "All bars hold.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
