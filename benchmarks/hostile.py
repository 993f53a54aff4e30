"""Measure well-behaved clients while another one attacks: `python benchmarks/hostile.py --help`.

The attacker uses its full rate limits. Prints a row for each attack: the latencies of the other
clients, compared with those without an attack, and the memory that was not freed. Exits with 1 if
a bar is missed.
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

# A script has only its own folder on sys.path, not the project's.
sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.attacks import ATTACKS, Attack, Attacker
from benchmarks.harness import connect
from benchmarks.honest_clients import KINDS, OPEN, HonestClients, Latencies
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
# After an attack, wait until the health probe is fast again.
CALM_LATENCY_SECONDS, CALM_TIMEOUT_SECONDS = 0.1, 30
TEAMS = 200
OWNER_TOKEN = token(ORGANISERS - 1)
# The default limits of an installation.
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
RESET_TOURNAMENT = """
    UPDATE tournament SET capacity = NULL, teams_per_church = NULL, opens_at = NULL,
        closes_at = NULL, time_zone = 'Asia/Kolkata' WHERE is_active
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Effect of an attack on the other clients. Memory is in MB, before and after."""

    name: str
    latencies: Latencies
    answers: int
    unintended: list[str]
    memory: tuple[float, float]
    free_bytes: int

    def missed_bars(self) -> Iterator[str]:
        """Describe the bars that were missed."""
        slowest = {kind: self.latencies.slowest(kind) for kind in KINDS}
        for kind, seconds in slowest.items():
            bar = LIVEZ_BAR_SECONDS if kind == "livez" else HONEST_BAR_SECONDS
            if seconds > bar:
                yield f"{kind} took {seconds:.2f} s (bar {bar:g})"
        if self.latencies.refused:
            refused = self.latencies.refused
            yield f"{len(refused)} requests of other clients failed: {refused[0]}"
        if self.unintended:
            yield f"{len(self.unintended)} unintended responses: {self.unintended[0]}"
        if self.memory[1] - self.memory[0] > MEMORY_BAR_MB:
            yield f"{self.memory[1] - self.memory[0]:.0f} MB were not freed (bar {MEMORY_BAR_MB})"
        if self.free_bytes < MIN_FREE_BYTES:
            yield "the disk reserve was used"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"attack for {QUICK_SECONDS:g} s each")
    parser.add_argument("--seconds", type=float, help=f"duration of each attack ({FULL_SECONDS:g})")
    parser.add_argument(
        "--only", nargs="+", default=[], help="only attacks whose names contain one of these"
    )
    return parser.parse_args()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Responses to an attack."""

    answers: int = 0
    unintended: list[str] = field(default_factory=list)


def attack_alone(address: str, name: str, client_number: int, seconds: float) -> Outcome:
    """Attack from this process, which does nothing else."""
    (chosen,) = (each for each in ATTACKS if each.name == name)
    attacker = asyncio.run(attack(address, chosen, client_number, seconds))
    return Outcome(answers=attacker.answers, unintended=attacker.unintended)


async def attack(address: str, chosen: Attack, client_number: int, seconds: float) -> Attacker:
    """Attack for `seconds`, then return the attacker."""
    until = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, until.set)
    numbers = itertools.count(client_number * 1_000_000)
    headers = {"X-Forwarded-For": f"10.66.0.{client_number}"}
    limits = httpx.Limits(max_connections=chosen.connections)
    async with httpx.AsyncClient(
        base_url=address, headers=headers, timeout=60, limits=limits
    ) as client:
        attacker = Attacker(client, OWNER_TOKEN)

        async def repeat() -> None:
            while not until.is_set():
                await chosen.step(attacker, next(numbers))

        async with asyncio.TaskGroup() as tasks:
            for _ in range(chosen.connections):
                tasks.create_task(repeat())
    return attacker


@dataclass(slots=True, kw_only=True)
class Bench:
    """A server with its database, the attacking process, and the duration of each attack."""

    server: ServerProcess
    database_url: str
    seconds: float
    attacking: ProcessPoolExecutor
    honest: HonestClients = field(default_factory=HonestClients)

    async def run(self, chosen: Attack | None = None, client_number: int = 0) -> Row:
        """Measure one attack, or the well-behaved clients alone without one."""
        address = f"http://127.0.0.1:{self.server.port}"
        await restore(self.database_url)
        before = self.server.resident_mb()
        until = asyncio.Event()
        seconds = self.seconds if chosen else max(self.seconds, QUIET_SECONDS)
        asyncio.get_running_loop().call_later(seconds, until.set)
        waiting = asyncio.create_task(self.honest.run(address, until))
        outcome = Outcome()
        if chosen:
            outcome = await asyncio.get_running_loop().run_in_executor(
                self.attacking, attack_alone, address, chosen.name, client_number, seconds
            )
        latencies = await waiting
        await wait_until_calm(address)
        return Row(
            name=chosen.name if chosen else "(no attack)",
            latencies=latencies,
            answers=outcome.answers,
            unintended=outcome.unintended,
            memory=(before, self.server.resident_mb()),
            free_bytes=shutil.disk_usage(tempfile.gettempdir()).free,
        )

    async def measure(self, attacks: Sequence[Attack]) -> list[Row]:
        """Measure without an attack first, after a warm-up, then each attack."""
        await self.run()
        rows = [await self.run()]
        show(rows[0], rows[0])
        for client_number, chosen in enumerate(attacks, start=1):
            rows.append(await self.run(chosen, client_number))
            show(rows[-1], rows[0])
        return rows


async def restore(database_url: str) -> None:
    async with connect(database_url) as connection:
        await connection.execute(RESET_TOURNAMENT)


async def wait_until_calm(address: str) -> None:
    """Wait until ten probes in a row were fast."""
    loop = asyncio.get_running_loop()
    ends_at, quick = loop.time() + CALM_TIMEOUT_SECONDS, 0
    async with httpx.AsyncClient(base_url=address, timeout=CALM_TIMEOUT_SECONDS) as client:
        while quick < 10 and loop.time() < ends_at:
            began = loop.time()
            await client.get("/livez")
            quick = quick + 1 if loop.time() - began < CALM_LATENCY_SECONDS else 0
            await asyncio.sleep(0.02)


async def prepare(database_url: str) -> None:
    """Add teams, organisers and an owner to the database."""
    async with connect(database_url) as connection:
        await seed_teams(connection, TEAMS)
        await seed_organisers(connection, [token(number) for number in range(ORGANISERS)])
        await connection.execute(OWNER, hash_token(OWNER_TOKEN))


def show(row: Row, quiet: Row) -> None:
    cells = [
        f"{row.latencies.slowest(kind) * 1000:6.0f} {_ratio(row.latencies, quiet.latencies, kind)}"
        for kind in KINDS
    ]
    verdict = "; ".join(row.missed_bars()) or "ok"
    added = row.memory[1] - row.memory[0]
    print(f"{row.name:31}{row.answers:7} {' '.join(cells)} {added:+5.0f}  {verdict}", flush=True)


def _ratio(latencies: Latencies, quiet: Latencies, kind: str) -> str:
    """Return the median as a multiple of the median without an attack."""
    alone = quiet.median(kind)
    return f"({latencies.median(kind) / alone:5.1f}x)" if alone else "(     -)"


def run_attacks(url: str, folder: Path, seconds: float, attacks: Sequence[Attack]) -> Iterator[str]:
    """Attack a server for all documents and one for trusted documents; yield missed bars."""
    honest, is_prepared = HonestClients(), False
    with attacking_process() as executor:
        for is_trusted_only in (False, True):
            chosen = [each for each in attacks if each.is_trusted_only == is_trusted_only]
            if not chosen:
                continue
            variables = LIMITS | (trusted_documents(folder) if is_trusted_only else {})
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
                yield from missed_bars(asyncio.run(bench.measure(chosen)))


def missed_bars(rows: Sequence[Row]) -> Iterator[str]:
    yield from (row.name for row in rows if any(row.missed_bars()))
    start, end = rows[0].memory[0], rows[-1].memory[1]
    print(f"Memory: {start:.0f} MB after the warm-up, {end:.0f} MB at the end.")
    if end - start > MEMORY_BAR_MB:
        yield f"{end - start:.0f} MB more at the end"


@contextmanager
def attacking_process() -> Iterator[ProcessPoolExecutor]:
    """Start a separate process for attacks, so that they do not slow the other clients down."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as executor:
        executor.submit(os.getpid).result()
        yield executor


def trusted_documents(folder: Path) -> dict[str, str]:
    """Write the documents of the well-behaved clients to a file; return the setting for it."""
    bodies = (registration_body()(0), page_body(50)(0))
    documents = [factories.VALIDATE, OPEN, *(json.loads(body)["query"] for body in bodies)]
    path = folder / "trusted.json"
    path.write_text(json.dumps({f"document{n}": text for n, text in enumerate(documents)}))
    return {"TRUSTED_DOCUMENTS": str(path)}


def main() -> int:
    args = parse_arguments()
    seconds = args.seconds or (QUICK_SECONDS if args.quick else FULL_SECONDS)
    attacks = [
        each for each in ATTACKS if not args.only or any(word in each.name for word in args.only)
    ]
    print(f"{'attack':31}answers  " + "  ".join(f"{kind:>12}" for kind in KINDS) + "    MB")
    print("Slowest response in milliseconds, and the median relative to no attack.")
    with tempfile.TemporaryDirectory(prefix="icct26-hostile-") as name:
        folder = Path(name)
        with EmbeddedPostgres(folder / "database") as embedded:
            url = embedded.connected_url("icct26")
            failed = [*run_attacks(url, folder, seconds, attacks)]
    print(f"FAILED: {', '.join(failed)}" if failed else "All bars hold.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
