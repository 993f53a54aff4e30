"""Files that are hard to look into, beside an honest photo: `python benchmarks/hostile_files.py`.

Prints how long honest photos took alone and beside the files of a stranger, the slowest answer of
`/livez` meanwhile, and the memory of the server. Ends with 1 when a goal is missed.
"""

import asyncio
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path

import httpx

# Started as a script, Python looks for modules only beside it.
sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.hostile import live
from benchmarks.processes import Served, our_server
from benchmarks.uploads import OPEN, photo
from persistence.embedded import EmbeddedPostgres
from tests.resilience.files import flat, pdf, resized, stream

PHOTO_GOAL_SECONDS = 1.0
LIVEZ_GOAL_SECONDS = 0.25
ADDED_GOAL_MB = 60
AT_ONCE = 8
PHOTOS = 5


def hostile_files() -> dict[str, tuple[str, bytes]]:
    """By name: kind of document and content."""
    nowhere = b" ".join(b"%d 0 R" % number for number in range(1_000, 4_000))
    return {
        "64 scans of 40 megapixels": ("PHOTO", resized(flat(64, 48, 64, "L"), 8_000, 5_000)),
        "12 scans of 40 megapixels": ("PHOTO", flat(8_000, 5_000, 12, "L")),
        "objects that are nowhere": (
            "PASTOR_LETTER",
            pdf(stream(b"\n1 " * 1_000_000), page=b"/X [%s]" % nowhere),
        ),
        "many objects": ("PASTOR_LETTER", pdf(*[b"[%s]" % (b"[]" * 100)] * 19_000)),
    }


async def send(client: httpx.AsyncClient, kind: str, content: bytes, address: str) -> int:
    """The status that the file was answered with; `address` counts as the client."""
    headers = {"X-Forwarded-For": address}
    is_pdf = content.startswith(b"%PDF")
    file = {
        "kind": kind,
        "fileName": "file",
        "contentType": "application/pdf" if is_pdf else "image/jpeg",
        "byteSize": len(content),
        "sha256": sha256(content).hexdigest(),
    }
    body = {"query": OPEN, "variables": {"input": file}}
    opened = await client.post("/graphql", json=body, headers=headers)
    url = opened.json()["data"]["openUpload"]["ticket"]["url"]
    return (await client.put(url, content=content, headers=headers)).status_code


async def photos(client: httpx.AsyncClient) -> float:
    """Seconds of the slowest photo of an honest client."""
    slowest = 0.0
    for seed in range(PHOTOS):
        content = photo(8, seed)
        began = time.perf_counter()
        status = await send(client, "PHOTO", content, "203.0.113.9")
        slowest = max(slowest, time.perf_counter() - began)
        if status != 201:
            raise SystemExit(f"An honest photo was answered with {status}.")
    return slowest


async def attack(server: Served) -> list[str]:
    """The goals that were missed."""
    missed = []
    address = f"http://127.0.0.1:{server.port}"
    async with httpx.AsyncClient(base_url=address, timeout=600) as client:
        # The first ones start the processes.
        await asyncio.gather(photos(client), send(client, "PHOTO", photo(1, 9), "198.51.100.7"))
        alone, before = await photos(client), server.resident_mb()
        print(f"Honest photos alone: {alone:.2f} s at most.")
        for name, (kind, content) in hostile_files().items():
            stop = asyncio.Event()
            pulse = asyncio.create_task(live(client, stop))
            sent = [
                asyncio.create_task(send(client, kind, content + b"%d" % n, "198.51.100.7"))
                for n in range(AT_ONCE)
            ]
            took = await photos(client)
            statuses = await asyncio.gather(*sent)
            stop.set()
            slowest = await pulse
            print(
                f"{name} ({len(content) / 1e3:.0f} KB, answered {sorted(set(statuses))}): photos"
                f" {took:.2f} s ({took / alone:.1f} times), /livez {slowest * 1000:.0f} ms."
            )
            if took > PHOTO_GOAL_SECONDS:
                missed.append(f"{name}: an honest photo took {took:.2f} s.")
            if slowest > LIVEZ_GOAL_SECONDS:
                missed.append(f"{name}: /livez took {slowest:.2f} s.")
        added = server.resident_mb() - before
    print(f"Memory of the server: {before:.0f} MB, {added:.0f} MB more afterwards.")
    return [*missed, *([f"{added:.0f} MB more are resident."] if added > ADDED_GOAL_MB else [])]


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="icct26-hostile-files-") as name:
        folder = Path(name)
        with (
            EmbeddedPostgres(folder / "database") as embedded,
            our_server(embedded.connected_url("icct26"), folder) as server,
        ):
            missed = asyncio.run(attack(server))
    print("\n".join(f"FAILED: {one}" for one in missed) or "All goals are met.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
