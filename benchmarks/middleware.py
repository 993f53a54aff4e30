"""Measure what each middleware costs: `python benchmarks/middleware.py --help`.

Calls an application with a trivial route in this process, with more and more of the middleware of
`server.py` around it. Prints the CPU time that each layer adds to a request, and ends with 1 if the
whole stack takes more than the bar.
"""

import argparse
import asyncio
import gc
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message

ROOT = Path(__file__).parent.parent
# Started as a script, Python looks for modules only beside it.
sys.path.insert(0, str(ROOT))

from benchmarks import report  # noqa: E402
from benchmarks.servers import RATE_LIMIT_ALL  # noqa: E402
from observability.logging_setup import configure_logging  # noqa: E402
from server import middleware  # noqa: E402
from settings import Settings  # noqa: E402

BAR_MICROSECONDS = 100.0
WARM_UP_REQUESTS = 500
PROXY = "127.0.0.1"
ORIGIN = "https://register.example"
BODY = b'{"query":"{ health { status } }"}'
ANSWER = b'{"data":{"health":{"status":"OK"}}}'
# As a browser sends them, through a proxy.
HEADERS = [
    (b"host", b"127.0.0.1"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    (b"accept", b"application/graphql-response+json, application/json"),
    (b"accept-encoding", b"gzip, deflate, br"),
    (b"accept-language", b"en"),
    (b"content-type", b"application/json"),
    (b"content-length", b"%d" % len(BODY)),
    (b"origin", ORIGIN.encode()),
    (b"x-forwarded-for", b"192.0.2.1"),
]


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000, help="in each round (1,000)")
    parser.add_argument(
        "--rounds",
        type=int,
        default=30,
        help="of which the fastest counts, since other work on the machine only adds (30)",
    )
    return parser.parse_args()


def production_settings() -> Settings:
    return Settings.model_construct(
        environment="production",
        allowed_hosts=(PROXY,),
        cors_origins=(ORIGIN,),
        trusted_proxies=(PROXY,),
        rate_limit_all=int(RATE_LIMIT_ALL),
    )


def stacks(settings: Settings) -> list[tuple[str, ASGIApp]]:
    """Return the layers from the innermost to the outermost, each with all that it surrounds."""
    layers = middleware(settings)
    names = ["Starlette"] + [layer.cls.__name__ for layer in reversed(layers)]  # type: ignore[attr-defined]
    return [
        (
            name,
            Starlette(
                routes=[Route("/graphql", trivial, methods=["POST"])],
                middleware=layers[len(layers) - count :],
            ),
        )
        for count, name in enumerate(names)
    ]


async def trivial(request: Request) -> Response:
    await request.body()
    return Response(ANSWER, media_type="application/json")


async def microseconds(app: ASGIApp, requests: int) -> float:
    """Return the CPU time of one request."""
    begin = time.process_time_ns()
    for _ in range(requests):
        await app(scope(), receive, send)
    return (time.process_time_ns() - begin) / 1000 / requests


def scope() -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/graphql",
        "raw_path": b"/graphql",
        "root_path": "",
        "query_string": b"",
        "headers": HEADERS.copy(),
        "client": (PROXY, 1),
        "server": (PROXY, 80),
        "state": {},
    }


async def receive() -> Message:
    return {"type": "http.request", "body": BODY, "more_body": False}


async def send(_message: Message) -> None:
    return


async def measure(
    apps: Sequence[tuple[str, ASGIApp]], *, requests: int, rounds: int
) -> list[tuple[str, float]]:
    """Return the microseconds of each stack. The stacks take turns."""
    for _, app in apps:
        await microseconds(app, WARM_UP_REQUESTS)
    gc.collect()
    gc.freeze()
    columns = [[await microseconds(app, requests) for _, app in apps] for _ in range(rounds)]
    fastest = [min(column) for column in zip(*columns, strict=True)]
    return [(name, cost) for (name, _), cost in zip(apps, fastest, strict=True)]


def main() -> int:
    given = options()
    settings = production_settings()
    # The log goes the way that it goes in production, but to nowhere.
    table, sys.stderr = sys.stderr, Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    configure_logging(level=settings.log_level, environment=settings.environment)
    costs = asyncio.run(measure(stacks(settings), requests=given.requests, rounds=given.rounds))
    sys.stderr = table
    print(f"{report.machine()}; {given.rounds} rounds of {given.requests:,} requests.\n")
    return judge(costs)


def judge(costs: Sequence[tuple[str, float]]) -> int:
    """Print the table; return 1 if the bar is missed."""
    base = before = costs[0][1]
    print("| layer, innermost first | µs of CPU | with all inside |")
    print("| --- | --- | --- |")
    print(f"| {costs[0][0]}'s own layers, router and route | {base:.1f} | {base:.1f} |")
    for name, cost in costs[1:]:
        print(f"| {name} | {cost - before:.1f} | {cost:.1f} |")
        before = cost
    whole = before - base
    print(f"\nThe stack takes {whole:.1f} µs, the bar is {BAR_MICROSECONDS:.0f} µs.")
    return int(whole > BAR_MICROSECONDS)


if __name__ == "__main__":
    sys.exit(main())
