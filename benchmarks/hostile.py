"""Hostile requests one after the other: `python benchmarks/hostile.py --help`.

Prints the slowest answers, the slowest one of `/livez` meanwhile, and the memory afterwards. Ends
with 1 when a goal is missed.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

import httpx

# Started as a script, Python looks for modules only beside it.
sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.processes import Served, our_server
from persistence.embedded import EmbeddedPostgres
from tests.hostile.corpus import CORPUS

ANSWER_GOAL_SECONDS = 0.5
LIVEZ_GOAL_SECONDS = 0.1
ADDED_GOAL_MB = 50
SHOWN = 5
INTENDED = {503, 504}


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="over all cases (3)")
    return parser.parse_args()


async def live(client: httpx.AsyncClient, stop: asyncio.Event) -> float:
    """The slowest answer of /livez until then, in seconds."""
    slowest = 0.0
    while not stop.is_set():
        began = time.perf_counter()
        await client.get("/livez")
        slowest = max(slowest, time.perf_counter() - began)
        await asyncio.sleep(0.005)
    return slowest


async def attack(server: Served, rounds: int) -> tuple[dict[str, float], float, list[str]]:
    """Seconds of each case at its slowest, of /livez, and what must not have been answered."""
    seconds: dict[str, float] = {}
    wrong: list[str] = []
    address = f"http://127.0.0.1:{server.port}"
    async with httpx.AsyncClient(base_url=address, timeout=60) as client:
        stop = asyncio.Event()
        pulse = asyncio.create_task(live(client, stop))
        for _ in range(rounds):
            for name, case in CORPUS:
                began = time.perf_counter()
                try:
                    answer = await client.request(
                        case.method, case.path, headers=dict(case.headers), content=case.content
                    )
                except httpx.TransportError:
                    # Cut off on purpose: what it sent was no HTTP, or too much of it.
                    status = 400
                else:
                    status = answer.status_code
                took = time.perf_counter() - began
                seconds[name] = max(seconds.get(name, 0), took)
                if status >= 500 and status not in INTENDED:
                    wrong.append(f"{name}: {status}")
        stop.set()
        return seconds, await pulse, wrong


def main() -> int:
    given = options()
    with tempfile.TemporaryDirectory(prefix="icct26-hostile-") as name:
        folder = Path(name)
        with (
            EmbeddedPostgres(folder / "database") as embedded,
            our_server(embedded.connected_url("icct26"), folder) as server,
        ):
            before = server.resident_mb()
            seconds, pulse, missed = asyncio.run(attack(server, given.rounds))
            after = server.resident_mb()
    slowest = sorted(seconds.items(), key=lambda item: -item[1])
    print(f"{len(CORPUS)} cases, {given.rounds} rounds. The slowest:")
    for case, took in slowest[:SHOWN]:
        print(f"  {took * 1000:6.0f} ms  {case}")
    print(
        f"/livez meanwhile: {pulse * 1000:.0f} ms at most (goal {LIVEZ_GOAL_SECONDS * 1000:.0f})."
    )
    print(f"Memory: {before:.0f} MB before, {after:.0f} MB after (goal: {ADDED_GOAL_MB} MB more).")
    if slowest[0][1] > ANSWER_GOAL_SECONDS:
        missed.append(f"{slowest[0][0]} took {slowest[0][1]:.2f} s.")
    if pulse > LIVEZ_GOAL_SECONDS:
        missed.append(f"/livez took {pulse:.2f} s.")
    if after - before > ADDED_GOAL_MB:
        missed.append(f"{after - before:.0f} MB more are resident.")
    print("\n".join(f"FAILED: {one}" for one in missed) or "All goals are met.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
