"""Measure the cost of the middleware: `python benchmarks/middleware.py --help`.

Two servers answer the same trivial route, one with everything that surrounds a request in
production, one with nothing. Prints the CPU time of both and ends with 1 above the bar.
"""

import argparse
import gc
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

ROOT = Path(__file__).parent.parent
# Started as a script, Python looks for modules only beside it.
sys.path.insert(0, str(ROOT))

from benchmarks import report  # noqa: E402
from benchmarks.load_client import LoadResult  # noqa: E402
from benchmarks.scenarios import Scenario  # noqa: E402
from benchmarks.servers import RATE_LIMIT, RATE_LIMIT_ALL, ServerProcess, free_port, running_process  # noqa: E402
from observability.logging_setup import configure_logging  # noqa: E402
from runner import uvicorn_config  # noqa: E402
from server import middleware  # noqa: E402
from settings import Settings  # noqa: E402
from web.auth.client_ip import client_key  # noqa: E402
from web.rate_limiting.limiter import RateLimiter  # noqa: E402
from web.server.graceful_shutdown import DrainingServer, ShutdownState  # noqa: E402

BAR_MS = 0.1
CONNECTIONS = 16
WARM_UP_REQUESTS = 2_000
PROXIES = ("127.0.0.1",)
BROWSER = ("Origin: https://register.example", "Accept-Encoding: gzip, deflate, br")
ANSWER = b'{"data":{"health":{"status":"OK"}}}'


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000, help="in each round (20,000)")
    parser.add_argument("--rounds", type=int, default=5, help="of which the median counts (5)")
    parser.add_argument("--serve", choices=["with", "without"], help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


def serve(kind: str, port: int) -> None:
    """`with` is what `cli.py serve` runs in production, but for the route."""
    # As `cli.py serve` does it.
    gc.collect()
    gc.freeze()
    if kind == "without":
        app = Starlette(routes=[Route("/graphql", trivial, methods=["POST"])])
        uvicorn.run(
            app, port=port, log_level="warning", access_log=False, proxy_headers=False, ws="none"
        )
        return
    settings = Settings.model_construct(
        environment="production",
        port=port,
        allowed_hosts=PROXIES,
        cors_origins=("https://register.example",),
        trusted_proxies=PROXIES,
        rate_limit_all=int(RATE_LIMIT_ALL),
    )
    configure_logging(level=settings.log_level, environment=settings.environment)
    route = Route("/graphql", limited(), methods=["POST"])
    app, drain = (
        Starlette(routes=[route], middleware=middleware(settings)),
        ShutdownState(),
    )
    DrainingServer(uvicorn_config(settings, app, drain), drain, notice_seconds=0).run()


async def trivial(request: Request) -> Response:
    await request.body()
    return Response(ANSWER, media_type="application/json")


def limited() -> Callable[[Request], Awaitable[Response]]:
    """The trivial route behind the rate limit of a query."""
    most = int(RATE_LIMIT)
    limits = RateLimiter(
        enabled=True,
        requests_per_minute=most,
        queries_per_minute=most,
        uploads_per_10_minutes=most,
        sign_ins_per_15_minutes=most,
    )

    async def respond(request: Request) -> Response:
        await limits.hit("query", client_key(request.scope, PROXIES))
        return await trivial(request)

    return respond


@contextmanager
def started(kind: str, folder: Path) -> Iterator[ServerProcess]:
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.middleware", "--serve", kind, "--port", str(port)]
    with running_process(kind, command, port, folder, {}) as server:
        yield server


def cpu_ms(server: ServerProcess, requests: int) -> float:
    """For one request, user and system time."""
    command = [sys.executable, "-m", "benchmarks.load_client"]
    command += ["--url", server.url(Scenario.HEALTH), "--scenario", Scenario.HEALTH]
    command += ["--connections", str(CONNECTIONS), "--requests", str(requests)]
    command += [f"--header={header}" for header in BROWSER]
    before = server.cpu_seconds()
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    used = server.cpu_seconds() - before
    measured = LoadResult(**json.loads(done.stdout))
    if measured.errors:
        raise SystemExit(f"{server.name}: {measured.first_error}")
    return used * 1000 / measured.requests


def main() -> int:
    args = parse_arguments()
    if args.serve:
        serve(args.serve, args.port)
        return 0
    print(f"{report.machine()}; {args.rounds} rounds of {args.requests:,} requests.\n")
    with tempfile.TemporaryDirectory(prefix="icct26-middleware-") as name, ExitStack() as stack:
        servers = [stack.enter_context(started(kind, Path(name))) for kind in ("without", "with")]
        for server in servers:
            cpu_ms(server, WARM_UP_REQUESTS)
        rounds = [[cpu_ms(one, args.requests) for one in servers] for _ in range(args.rounds)]
    return report_costs(rounds)


def report_costs(rounds: Sequence[Sequence[float]]) -> int:
    """Print the table; 1 when the bar is missed."""
    without, surrounded = (statistics.median(column) for column in zip(*rounds, strict=True))
    cost = statistics.median(after - before for before, after in rounds)
    print("| CPU ms a request, bare | with all middleware | middleware alone | bar |")
    print("| --- | --- | --- | --- |")
    print(f"| {without:.3f} | {surrounded:.3f} | {cost:.3f} | {BAR_MS} |\n")
    print("The bar holds." if cost <= BAR_MS else f"FAILED: {cost:.3f} ms, the bar {BAR_MS} ms.")
    return int(cost > BAR_MS)


if __name__ == "__main__":
    sys.exit(main())
