"""HTTP load client. Each connection sends its next request after the response to the last one.

It runs as a separate process and prints its measurements as one line of JSON.
"""

import argparse
import asyncio
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import cast
from urllib.parse import SplitResult, urlsplit

import uvloop

from benchmarks.scenarios import BODIES, CLIENTS, PAGE_SIZE, BodyFactory, Scenario, token

GRACE_SECONDS = 30
PORTS = {"http": 80, "https": 443}
HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length:"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """Measurements of a run. Latencies are in milliseconds, of responses without errors only."""

    requests: int
    errors: int
    first_error: str
    per_second: float
    p50: float
    p90: float
    p99: float


@dataclass(slots=True, kw_only=True)
class Run:
    """State shared by the connections of a run. It ends after `requests`, or `seconds` if None."""

    url: SplitResult
    scenario: Scenario
    body: BodyFactory
    seconds: float
    requests: int | None
    number: int
    tokens: Sequence[str] = ()
    headers: Sequence[str] = ()
    started_at: float = field(default_factory=perf_counter)
    sent: int = 0
    latencies: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def next_request(self) -> bytes | None:
        """Return the bytes of the next request, or None when the run is over."""
        if self.requests is None:
            is_over = perf_counter() - self.started_at >= self.seconds
        else:
            is_over = self.sent >= self.requests
        if is_over:
            return None
        self.sent += 1
        self.number += 1
        return self._request(self.number)

    def _request(self, number: int) -> bytes:
        body = self.body(number)
        client = number % CLIENTS
        head = (
            f"POST {self.url.path} HTTP/1.1\r\nHost: {self.url.netloc}\r\n"
            "Content-Type: application/json\r\nAccept: application/json\r\n"
            f"X-Forwarded-For: 10.1.{client >> 8}.{client & 255}\r\n"
        )
        if self.scenario is Scenario.REGISTER:
            head += f"Idempotency-Key: benchmark-{number:012}\r\n"
        elif self.scenario is not Scenario.HEALTH:
            bearer = self.tokens[number % len(self.tokens)] if self.tokens else token(number)
            head += f"Authorization: Bearer {bearer}\r\n"
        head += "".join(f"{header}\r\n" for header in self.headers)
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    def measured(self) -> LoadResult:
        seconds = perf_counter() - self.started_at
        ordered = sorted(self.latencies) or [math.nan]
        return LoadResult(
            requests=self.sent,
            errors=len(self.errors),
            first_error=self.errors[0] if self.errors else "",
            per_second=len(self.latencies) / seconds,
            **{f"p{q}": quantile(ordered, q) * 1000 for q in (50, 90, 99)},
        )


def quantile(ordered: list[float], percent: int) -> float:
    """Return the percentile by the nearest-rank method."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


class Connection(asyncio.Protocol):
    def __init__(self, run: Run) -> None:
        self.ended = asyncio.get_running_loop().create_future()
        self._run = run
        self._response = b""
        self._sent_at = 0.0
        self._waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._response += data
        end = self._response.find(HEAD_END)
        if end < 0:
            return
        head = self._response[:end].lower()
        length = head.index(LENGTH) + len(LENGTH)
        start = end + len(HEAD_END)
        if len(self._response) < start + int(head[length:].partition(b"\r\n")[0]):
            return
        self._record(head, self._response[start:])
        self._response = b""
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting:
            self._run.errors.append(f"the connection was lost: {exc}")
        if not self.ended.done():
            self.ended.set_result(None)

    def _send(self) -> None:
        request = self._run.next_request()
        self._waiting = request is not None
        if request is None:
            self._transport.close()
            return
        self._sent_at = perf_counter()
        self._transport.write(request)

    def _record(self, head: bytes, body: bytes) -> None:
        seconds = perf_counter() - self._sent_at
        if head.startswith(b"http/1.1 200") and body.startswith(b'{"data":{'):
            self._run.latencies.append(seconds)
        else:
            self._run.errors.append(body[:300].decode(errors="replace"))


async def run_load(run: Run, connections: int) -> LoadResult:
    loop = asyncio.get_running_loop()
    timeout_seconds = (run.seconds if run.requests is None else 10 * run.seconds) + GRACE_SECONDS
    async with asyncio.timeout(timeout_seconds):
        connections_made = [
            await loop.create_connection(
                lambda: Connection(run),
                run.url.hostname or "",
                run.url.port or PORTS[run.url.scheme],
                ssl=run.url.scheme == "https" or None,
            )
            for _ in range(connections)
        ]
        for _, protocol in connections_made:
            await protocol.ended
    return run.measured()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", type=urlsplit, required=True)
    parser.add_argument("--scenario", type=Scenario, required=True)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--requests", type=int, help="number of requests, instead of --seconds")
    parser.add_argument("--page-size", type=int, default=PAGE_SIZE, help="page size of PAGE")
    parser.add_argument(
        "--token", action="append", default=[], help="API token instead of the seeded ones"
    )
    parser.add_argument("--teams", type=int, default=1, help="number of teams in the database")
    parser.add_argument("--first", type=int, default=0, help="number of the first team")
    parser.add_argument("--header", action="append", default=[], help="sent with every request")
    args = parser.parse_args()
    run = Run(
        url=args.url,
        scenario=args.scenario,
        body=BODIES[args.scenario](args.teams, args.page_size),
        seconds=args.seconds,
        requests=args.requests,
        number=args.first,
        tokens=args.token,
        headers=args.header,
    )
    json.dump(asdict(uvloop.run(run_load(run, args.connections))), sys.stdout)


if __name__ == "__main__":
    main()
