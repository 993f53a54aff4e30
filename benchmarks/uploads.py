"""Teams that send all their files at once: `python benchmarks/uploads.py --help`.

Prints how much memory the server took, how fast files were stored, and how long registrations of
other teams took meanwhile. Ends with 1 when a bar is missed.
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

# Started as a script, Python looks for modules only beside it.
sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.harness import lift_tournament_limits
from benchmarks.scenarios import registration_body
from benchmarks.servers import ServerProcess, our_server
from persistence.embedded.server import EmbeddedPostgres

MEMORY_BAR_MB = 300
JSON = {"Content-Type": "application/json"}
OPEN = """
mutation Open($input: OpenUploadInput!) { openUpload(input: $input) { ticket { url } } }
"""


@dataclass(slots=True)
class Seen:
    stored: int = 0
    refused: list[str] = field(default_factory=list)
    registration_ms: list[float] = field(default_factory=list)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--teams", type=int, default=20, help="that send at once (20)")
    parser.add_argument("--files", type=int, default=33, help="of each team (33)")
    parser.add_argument("--megapixels", type=float, default=8, help="of each photo (8)")
    return parser.parse_args()


def photo(megapixels: float, seed: int) -> bytes:
    """A JPEG such as a phone makes: shapes and a little noise, about 0.2 bytes a pixel."""
    width = round((megapixels * 1e6 * 4 / 3) ** 0.5)
    size = (width, width * 3 // 4)
    small = Image.frombytes("RGB", (160, 120), random.Random(seed).randbytes(160 * 120 * 3))
    content = io.BytesIO()
    small.resize(size, Resampling.BICUBIC).save(content, "JPEG", quality=90)
    return content.getvalue()


async def send(client: httpx.AsyncClient, content: bytes, seen: Seen) -> None:
    file = {
        "kind": "PHOTO",
        "fileName": "photo.jpg",
        "contentType": "image/jpeg",
        "byteSize": len(content),
        "sha256": sha256(content).hexdigest(),
    }
    body = {"query": OPEN, "variables": {"input": file}}
    opened = await answered(lambda: client.post("/graphql", json=body))
    url = opened.json()["data"]["openUpload"]["ticket"]["url"]
    answer = await answered(lambda: client.put(url, content=content))
    if answer.status_code == 201:
        seen.stored += 1
    else:
        seen.refused.append(answer.text[:200])


async def answered(request: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
    """As browsers do: an idle connection that the server has just closed is tried once more."""
    try:
        return await request()
    except httpx.TransportError:
        return await request()


async def register_until(
    stop: asyncio.Event, client: httpx.AsyncClient, teams: Iterator[bytes], seen: Seen
) -> None:
    while not stop.is_set():
        began = time.perf_counter()
        answer = await client.post("/graphql", content=next(teams), headers=JSON)
        if "errors" in answer.json():
            seen.refused.append(answer.text[:200])
        seen.registration_ms.append((time.perf_counter() - began) * 1000)


async def measure(server: ServerProcess, given: argparse.Namespace) -> tuple[Seen, Seen, float]:
    """Registrations alone, then beside the uploads; and how many seconds the uploads took."""
    photos = [photo(given.megapixels, seed) for seed in range(8)]
    amount = given.teams * given.files
    print(f"{amount} photos of {len(photos[0]) / 1e6:.1f} MB, all at once.")
    alone, beside = Seen(), Seen()
    teams = map(registration_body(), itertools.count())
    limits = httpx.Limits(max_connections=amount + 8)
    address = f"http://127.0.0.1:{server.port}"
    async with httpx.AsyncClient(base_url=address, limits=limits, timeout=600) as client:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(3, stop.set)
        await register_until(stop, client, teams, alone)
        stop = asyncio.Event()
        other = asyncio.create_task(register_until(stop, client, teams, beside))
        began = time.perf_counter()
        await asyncio.gather(
            *(send(client, photos[place % len(photos)], beside) for place in range(amount))
        )
        took = time.perf_counter() - began
        stop.set()
        await other
    return alone, beside, took


def main() -> int:
    given = options()
    with tempfile.TemporaryDirectory(prefix="icct26-uploads-") as name:
        folder = Path(name)
        with EmbeddedPostgres(folder / "database") as embedded:
            url = embedded.connected_url("icct26")
            with our_server(url, folder) as server:
                asyncio.run(lift_tournament_limits(url))
                at_start = server.resident_mb()
                alone, beside, took = asyncio.run(measure(server, given))
                peak = server.peak_mb()
    print(f"Stored {beside.stored} in {took:.1f} s ({beside.stored / took:.0f} a second).")
    print(f"Memory: {at_start:.0f} MB at the start, {peak:.0f} MB at most (bar {MEMORY_BAR_MB}).")
    for label, seen in (("alone", alone), ("beside the uploads", beside)):
        p50 = statistics.median(seen.registration_ms)
        print(f"Registrations {label}: {len(seen.registration_ms)}, p50 {p50:.0f} ms.")
    missed = [*beside.refused[:5]]
    if peak >= MEMORY_BAR_MB:
        missed.append(f"{peak:.0f} MB resident.")
    print("\n".join(f"FAILED: {one}" for one in missed) or "All bars hold.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
