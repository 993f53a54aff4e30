"""Measure many uploads at the same time: `python benchmarks/uploads.py --help`.

Prints the memory of the server, the rate at which files were stored, and the latency of
registrations meanwhile. Then it compares the rate at which photos of 2 MB go from ticket to store
with that of a bare route (`upload_baseline.py`). Exits with 1 if a bar is missed.
"""

import argparse
import asyncio
import io
import itertools
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import httpx
from PIL import Image
from PIL.Image import Resampling

# A script has only its own folder on sys.path, not the project's.
sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.harness import lift_tournament_limits
from benchmarks.scenarios import registration_body
from benchmarks.servers import ServerProcess, our_server, upload_baseline_server
from persistence.embedded.server import EmbeddedPostgres

MEMORY_BAR_MB = 300
# The rate of files beside that of the bare route, eight at a time.
RATE_BAR = 0.6
RATE_CONNECTIONS = 8
RATE_FILES = 48
RATE_ROUNDS = 3
RATE_MEGAPIXELS = 11.5
JSON = {"Content-Type": "application/json"}
OPEN = """
mutation Open($input: OpenUploadInput!) { openUpload(input: $input) { ticket { url } } }
"""


@dataclass(slots=True)
class UploadRun:
    stored: int = 0
    refused: list[str] = field(default_factory=list)
    registration_ms: list[float] = field(default_factory=list)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--teams", type=int, default=20, help="teams that upload at the same time (20)"
    )
    parser.add_argument("--files", type=int, default=33, help="files of each team (33)")
    parser.add_argument("--megapixels", type=float, default=8, help="size of each photo (8)")
    return parser.parse_args()


def photo(megapixels: float, seed: int) -> bytes:
    """Return a JPEG like those of phones: shapes and a little noise, 0.2 bytes a pixel."""
    width = round((megapixels * 1e6 * 4 / 3) ** 0.5)
    size = (width, width * 3 // 4)
    small = Image.frombytes("RGB", (160, 120), random.Random(seed).randbytes(160 * 120 * 3))
    content = io.BytesIO()
    small.resize(size, Resampling.BICUBIC).save(content, "JPEG", quality=90)
    return content.getvalue()


async def send(client: httpx.AsyncClient, content: bytes, run: UploadRun) -> None:
    file = {
        "kind": "PHOTO",
        "fileName": "photo.jpg",
        "contentType": "image/jpeg",
        "byteSize": len(content),
        "sha256": sha256(content).hexdigest(),
    }
    body = {"query": OPEN, "variables": {"input": file}}
    opened = await retry_once(lambda: client.post("/graphql", json=body))
    url = opened.json()["data"]["openUpload"]["ticket"]["url"]
    answer = await retry_once(lambda: client.put(url, content=content))
    if answer.status_code == 201:
        run.stored += 1
    else:
        run.refused.append(answer.text[:200])


async def retry_once(request: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
    """Retry once, as browsers do, if the server has just closed an idle connection."""
    try:
        return await request()
    except httpx.TransportError:
        return await request()


async def register_until(
    stop: asyncio.Event, client: httpx.AsyncClient, teams: Iterator[bytes], run: UploadRun
) -> None:
    while not stop.is_set():
        started_at = time.perf_counter()
        answer = await client.post("/graphql", content=next(teams), headers=JSON)
        if "errors" in answer.json():
            run.refused.append(answer.text[:200])
        run.registration_ms.append((time.perf_counter() - started_at) * 1000)


async def measure(
    server: ServerProcess, args: argparse.Namespace
) -> tuple[UploadRun, UploadRun, float]:
    """Return registrations without uploads, registrations with uploads, and the upload seconds."""
    photos = [photo(args.megapixels, seed) for seed in range(8)]
    amount = args.teams * args.files
    print(f"{amount} photos of {len(photos[0]) / 1e6:.1f} MB, all at once.")
    before, during = UploadRun(), UploadRun()
    teams = map(registration_body(), itertools.count())
    limits = httpx.Limits(max_connections=amount + 8)
    address = f"http://127.0.0.1:{server.port}"
    async with httpx.AsyncClient(base_url=address, limits=limits, timeout=600) as client:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(3, stop.set)
        await register_until(stop, client, teams, before)
        stop = asyncio.Event()
        other = asyncio.create_task(register_until(stop, client, teams, during))
        started_at = time.perf_counter()
        await asyncio.gather(
            *(send(client, photos[index % len(photos)], during) for index in range(amount))
        )
        took = time.perf_counter() - started_at
        stop.set()
        await other
    return before, during, took


async def files_per_second(send_one: Callable[[], Awaitable[None]]) -> float:
    """Send RATE_FILES files, RATE_CONNECTIONS at a time."""
    remaining = iter(range(RATE_FILES))

    async def send_some() -> None:
        for _ in remaining:
            await send_one()

    started_at = time.perf_counter()
    await asyncio.gather(*(send_some() for _ in range(RATE_CONNECTIONS)))
    return RATE_FILES / (time.perf_counter() - started_at)


async def compare_rates(server: ServerProcess, baseline: ServerProcess) -> list[str]:
    """Take turns with the bare route, and describe the bar if it is missed."""
    content, run, ratios = photo(RATE_MEGAPIXELS, 99), UploadRun(), []
    address = f"http://127.0.0.1:{server.port}"
    bare_url = f"http://127.0.0.1:{baseline.port}/upload"
    async with (
        httpx.AsyncClient(base_url=address, timeout=600) as client,
        httpx.AsyncClient(timeout=600) as other,
    ):

        async def send_bare() -> None:
            (await other.put(bare_url, content=content)).raise_for_status()

        for _ in range(RATE_ROUNDS):
            ours = await files_per_second(lambda: send(client, content, run))
            ratios.append(ours / await files_per_second(send_bare))
    ratio = statistics.median(ratios)
    print(
        f"U: {len(content) / 1e6:.1f} MB, {RATE_CONNECTIONS} at a time: {ratio:.2f} of the rate"
        f" of a bare route (bar {RATE_BAR})."
    )
    missed = [f"Uploads have {ratio:.2f} of the bare rate."] if ratio < RATE_BAR else []
    return [*run.refused[:5], *missed]


def main() -> int:
    args = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="icct26-uploads-") as name:
        folder = Path(name)
        with EmbeddedPostgres(folder / "database") as embedded:
            url = embedded.connected_url("icct26")
            with our_server(url, folder) as server:
                asyncio.run(lift_tournament_limits(url))
                at_start = server.resident_mb()
                before, during, took = asyncio.run(measure(server, args))
                peak = server.peak_mb()
                with upload_baseline_server(folder) as baseline:
                    rate_failures = asyncio.run(compare_rates(server, baseline))
    print(f"Stored {during.stored} in {took:.1f} s ({during.stored / took:.0f} a second).")
    print(f"Memory: {at_start:.0f} MB at the start, {peak:.0f} MB at most (bar {MEMORY_BAR_MB}).")
    for label, run in (("without uploads", before), ("during the uploads", during)):
        p50 = statistics.median(run.registration_ms)
        print(f"Registrations {label}: {len(run.registration_ms)}, p50 {p50:.0f} ms.")
    missed = [*during.refused[:5], *rate_failures]
    if peak >= MEMORY_BAR_MB:
        missed.append(f"{peak:.0f} MB resident.")
    print("\n".join(f"FAILED: {failure}" for failure in missed) or "All bars hold.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
