"""Well-behaved clients for `hostile.py`: a captain, an organiser and a health probe."""

import asyncio
import io
import itertools
import json
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256

import httpx
from PIL import Image

from benchmarks.scenarios import page_body, registration_body, token
from tests import factories

JSON = {"Content-Type": "application/json"}
INTERVAL_SECONDS = 0.02
OPEN = "mutation O($input: OpenUploadInput!) { openUpload(input: $input) { ticket { url } } }"
KINDS = ("validate", "register", "photo", "page", "livez")


@dataclass(slots=True)
class Latencies:
    """Latencies in seconds by kind of request, and descriptions of failed requests."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    refused: list[str] = field(default_factory=list)

    def slowest(self, *kinds: str) -> float:
        return max((seconds for kind in kinds for seconds in self.seconds[kind]), default=0.0)

    def median(self, kind: str) -> float:
        return statistics.median(self.seconds[kind]) if self.seconds[kind] else 0.0

    async def time(self, kind: str, request: Callable[[], Awaitable[httpx.Response]]) -> bytes:
        """Send a request, record its latency and return the body (empty on a broken connection)."""
        started_at = time.perf_counter()
        try:
            answer = await request()
        except httpx.TransportError as error:
            self.refused.append(f"{kind}: {type(error).__name__}")
            return b""
        finally:
            self.seconds[kind].append(time.perf_counter() - started_at)
        if answer.status_code >= 400 or b'"errors"' in answer.content:
            self.refused.append(f"{kind}: {answer.status_code} {answer.text[:100]}")
        return answer.content


@dataclass(slots=True)
class HonestClients:
    """Run the clients. Team numbers continue from run to run; each captain has an IP address."""

    numbers: Iterator[int] = field(default_factory=itertools.count)

    async def run(self, address: str, until: asyncio.Event) -> Latencies:
        """Send requests with all clients until the event is set; return their latencies."""
        latencies = Latencies()
        async with (
            httpx.AsyncClient(base_url=address, timeout=60) as client,
            asyncio.TaskGroup() as tasks,
        ):
            for work in (self._captain, self._organiser, self._probe):
                tasks.create_task(_repeat(work, client, latencies, until))
        return latencies

    async def _captain(self, client: httpx.AsyncClient, latencies: Latencies) -> None:
        number = next(self.numbers)
        headers = {**JSON, "X-Forwarded-For": f"10.2.{number >> 8 & 255}.{number & 255}"}
        team = {
            "query": factories.VALIDATE,
            "variables": {"input": factories.team(2_000_000 + number)},
        }

        def ask(content: bytes) -> Callable[[], Awaitable[httpx.Response]]:
            return lambda: client.post("/graphql", content=content, headers=headers)

        await latencies.time("validate", ask(json.dumps(team).encode()))
        await latencies.time("register", ask(registration_body()(3_000_000 + number)))
        opened = await latencies.time("photo", ask(_open_upload_body()))
        ticket = json.loads(opened or b"{}").get("data")
        if ticket and ticket["openUpload"]:
            url = ticket["openUpload"]["ticket"]["url"]
            sent = {"X-Forwarded-For": headers["X-Forwarded-For"]}
            await latencies.time("photo", lambda: client.put(url, content=PHOTO, headers=sent))

    async def _organiser(self, client: httpx.AsyncClient, latencies: Latencies) -> None:
        number = next(self.numbers)
        headers = {
            **JSON,
            "X-Forwarded-For": f"10.3.0.{number % 90}",
            "Authorization": f"Bearer {token(number % 90)}",
        }
        body = page_body(50)(number)
        await latencies.time("page", lambda: client.post("/graphql", content=body, headers=headers))

    async def _probe(self, client: httpx.AsyncClient, latencies: Latencies) -> None:
        await latencies.time("livez", lambda: client.get("/livez"))


async def _repeat(
    work: Callable[[httpx.AsyncClient, Latencies], Awaitable[None]],
    client: httpx.AsyncClient,
    latencies: Latencies,
    until: asyncio.Event,
) -> None:
    while not until.is_set():
        await work(client, latencies)
        await asyncio.sleep(INTERVAL_SECONDS)


def _photo() -> bytes:
    content = io.BytesIO()
    Image.effect_noise((640, 480), 40).save(content, "JPEG", quality=80)
    return content.getvalue()


PHOTO = _photo()


def _open_upload_body() -> bytes:
    file = {
        "kind": "PHOTO",
        "fileName": "photo.jpg",
        "contentType": "image/jpeg",
        "byteSize": len(PHOTO),
        "sha256": sha256(PHOTO).hexdigest(),
    }
    return json.dumps({"query": OPEN, "variables": {"input": file}}).encode()
