"""What was measured, as a table, and whether it is good enough."""

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from benchmarks.load_client import LoadResult
from benchmarks.scenarios import Scenario

P50_BARS_MS: Mapping[Scenario, float] = {"A": 25, "D": 5}
# Requests per second of one server to those of another, at 16 connections.
RATIO_BARS: Mapping[tuple[str, str], Mapping[Scenario, float]] = {
    ("ours", "limit"): {"A": 0.75, "B": 0.80, "C": 0.50, "D": 0.35},
    ("bare", "limit"): {"A": 0.85, "B": 0.90, "C": 0.80, "D": 0.55},
    ("ours", "idiomatic"): {"A": 6, "B": 25, "C": 15},
}
RATIO_CONNECTIONS = 16
P99_TO_P50 = 4
RESIDENT_BAR_MB = 150
JOBS: Mapping[Scenario, str] = {
    "A": "A registerTeam",
    "B": "B page of 50 teams",
    "C": "C one team",
    "D": "D health",
}
HEAD = ("job", "connections", "server", "req/s", "p50 ms", "p99 ms", "CPU ms", "to the limit")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerResult:
    """One server in one round."""

    measured: LoadResult
    cpu_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """All servers, one right after the other, by their names."""

    job: Scenario
    connections: int
    sides: Mapping[str, ServerResult]

    def ratio(self, name: str, other: str) -> float:
        return self.sides[name].measured.per_second / self.sides[other].measured.per_second


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    requests: int
    at_start_mb: float
    resident_mb: float
    limit_mb: float


def table(rounds: Sequence[Round]) -> str:
    """Markdown, a line for each job, number of connections and server, medians of the rounds."""
    settings = dict.fromkeys((one.job, one.connections) for one in rounds)
    lines = [row(*HEAD), row(*("---" for _ in HEAD))]
    for job, connections in settings:
        same = [one for one in rounds if (one.job, one.connections) == (job, connections)]
        for name in same[0].sides:
            cells = [
                *measured_cells([one.sides[name].measured for one in same]),
                f"{median(one.sides[name].cpu_ms for one in same):.2f}",
                f"{median(one.ratio(name, 'limit') for one in same):.2f}",
            ]
            lines.append(row(JOBS[job], str(connections), name, *cells))
    return "\n".join(lines)


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def measured_cells(found: Sequence[LoadResult]) -> list[str]:
    return [
        f"{median(one.per_second for one in found):.0f}",
        f"{median(one.p50 for one in found):.2f}",
        f"{median(one.p99 for one in found):.2f}",
    ]


def memory_line(memory: Memory) -> str:
    return (
        f"Resident memory of our server: {memory.at_start_mb:.0f} MB when it had started, "
        f"{memory.resident_mb:.0f} MB after {memory.requests:,} requests "
        f"(limit server {memory.limit_mb:.0f} MB)."
    )


def failures(rounds: Sequence[Round], memory: Memory) -> list[str]:
    """The bars that were missed, in words."""
    return [*slow(rounds), *behind(rounds), *uneven(rounds), *broken(rounds), *large(memory)]


def slow(rounds: Sequence[Round]) -> Iterable[str]:
    for job, bar in P50_BARS_MS.items():
        alone = [
            one.sides["ours"].measured.p50
            for one in rounds
            if (one.job, one.connections) == (job, 1)
        ]
        if alone and not median(alone) < bar:
            yield f"p50 of {job} at one connection is {median(alone):.2f} ms, the bar {bar} ms."


def behind(rounds: Sequence[Round]) -> Iterable[str]:
    for (name, other), bars in RATIO_BARS.items():
        for job, bar in bars.items():
            found = [
                one.ratio(name, other)
                for one in rounds
                if (one.job, one.connections) == (job, RATIO_CONNECTIONS)
            ]
            if found and not median(found) >= bar:
                yield f"{job}: {name} has {median(found):.2f} of {other}'s rate, the bar is {bar}."


def uneven(rounds: Sequence[Round]) -> Iterable[str]:
    for job in ("A", "B", "C"):
        found = [
            one.sides["ours"].measured
            for one in rounds
            if (one.job, one.connections) == (job, RATIO_CONNECTIONS)
        ]
        spread = median(one.p99 / one.p50 for one in found) if found else 0
        if spread > P99_TO_P50:
            yield f"{job}: p99 is {spread:.1f} times p50, the bar {P99_TO_P50}."


def broken(rounds: Sequence[Round]) -> Iterable[str]:
    for one in rounds:
        for name, side in one.sides.items():
            found = side.measured
            if found.errors:
                yield (
                    f"{found.errors} of {found.requests} requests of {one.job} to {name} at "
                    f"{one.connections} connections failed: {found.first_error}"
                )


def large(memory: Memory) -> Iterable[str]:
    if not memory.resident_mb < RESIDENT_BAR_MB:
        yield f"Resident memory is {memory.resident_mb:.0f} MB, the bar {RESIDENT_BAR_MB} MB."


def machine() -> str:
    """When and on what, without names of machines or people."""
    model = processor()
    load = os.getloadavg()[0]
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores{model}, "
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, "
        f"load average {load:.1f} before the start"
    )


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f" ({names[0]})" if names else ""
