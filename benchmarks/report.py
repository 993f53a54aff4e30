"""Report tables and pass/fail bars of the benchmark."""

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from benchmarks.load_client import LoadResult
from benchmarks.scenarios import Scenario

P50_BARS_MS: Mapping[Scenario, float] = {Scenario.REGISTER: 25, Scenario.HEALTH: 5}
# Minimum ratio of the request rates of two servers at 16 connections.
RATIO_BARS: Mapping[tuple[str, str], Mapping[Scenario, float]] = {
    ("ours", "baseline"): {
        Scenario.REGISTER: 0.75,
        Scenario.PAGE: 0.75,
        Scenario.TEAM: 0.60,
        Scenario.HEALTH: 0.50,
    },
    ("no_middleware", "baseline"): {
        Scenario.REGISTER: 0.75,
        Scenario.PAGE: 0.90,
        Scenario.TEAM: 0.80,
        Scenario.HEALTH: 0.55,
    },
    ("ours", "idiomatic"): {Scenario.REGISTER: 6, Scenario.PAGE: 25, Scenario.TEAM: 15},
}
RATIO_CONNECTIONS = 16
P99_TO_P50 = 4
RESIDENT_BAR_MB = 150
SCENARIO_LABELS: Mapping[Scenario, str] = {
    Scenario.REGISTER: "A REGISTER registerTeam",
    Scenario.PAGE: "B PAGE 50 teams",
    Scenario.TEAM: "C TEAM one team",
    Scenario.HEALTH: "D HEALTH",
}
COLUMNS = (
    *("scenario", "connections", "server", "req/s", "p50 ms", "p99 ms", "CPU ms"),
    "to the baseline",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerResult:
    """Measurements of one server in one round."""

    measured: LoadResult
    cpu_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Results of all servers, by name, measured directly after each other."""

    scenario: Scenario
    connections: int
    results: Mapping[str, ServerResult]

    def ratio(self, name: str, other: str) -> float:
        return self.results[name].measured.per_second / self.results[other].measured.per_second


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    requests: int
    at_start_mb: float
    resident_mb: float
    baseline_mb: float


def table(rounds: Sequence[Round]) -> str:
    """Return a Markdown table of the medians over all rounds."""
    settings = dict.fromkeys((each.scenario, each.connections) for each in rounds)
    lines = [row(*COLUMNS), row(*("---" for _ in COLUMNS))]
    for scenario, connections in settings:
        group = select(rounds, scenario, connections)
        for name in group[0].results:
            cells = [
                *measured_cells([each.results[name].measured for each in group]),
                f"{median(each.results[name].cpu_ms for each in group):.2f}",
                f"{median(each.ratio(name, 'baseline') for each in group):.2f}",
            ]
            lines.append(row(SCENARIO_LABELS[scenario], str(connections), name, *cells))
    return "\n".join(lines)


def select(rounds: Iterable[Round], scenario: Scenario, connections: int) -> list[Round]:
    """Return the rounds with this scenario and number of connections."""
    return [each for each in rounds if (each.scenario, each.connections) == (scenario, connections)]


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def measured_cells(results: Sequence[LoadResult]) -> list[str]:
    return [
        f"{median(each.per_second for each in results):.0f}",
        f"{median(each.p50 for each in results):.2f}",
        f"{median(each.p99 for each in results):.2f}",
    ]


def memory_line(memory: Memory) -> str:
    return (
        f"Resident memory of our server: {memory.at_start_mb:.0f} MB after the start, "
        f"{memory.resident_mb:.0f} MB after {memory.requests:,} requests "
        f"(baseline server: {memory.baseline_mb:.0f} MB)."
    )


def failures(rounds: Sequence[Round], memory: Memory) -> list[str]:
    """Describe the bars that were missed."""
    return [
        *latency_failures(rounds),
        *ratio_failures(rounds),
        *spread_failures(rounds),
        *request_failures(rounds),
        *memory_failures(memory),
    ]


def latency_failures(rounds: Sequence[Round]) -> Iterable[str]:
    for scenario, bar in P50_BARS_MS.items():
        p50s = [each.results["ours"].measured.p50 for each in select(rounds, scenario, 1)]
        if p50s and not median(p50s) < bar:
            yield f"p50 of {scenario} at one connection is {median(p50s):.2f} ms, the bar {bar} ms."


def ratio_failures(rounds: Sequence[Round]) -> Iterable[str]:
    for (name, other), bars in RATIO_BARS.items():
        for scenario, bar in bars.items():
            group = select(rounds, scenario, RATIO_CONNECTIONS)
            ratios = [each.ratio(name, other) for each in group]
            if ratios and not median(ratios) >= bar:
                ratio = f"{median(ratios):.2f}"
                yield f"{scenario}: {name} has {ratio} of the rate of {other}, the bar is {bar}."


def spread_failures(rounds: Sequence[Round]) -> Iterable[str]:
    for scenario in (Scenario.REGISTER, Scenario.PAGE, Scenario.TEAM):
        group = select(rounds, scenario, RATIO_CONNECTIONS)
        results = [each.results["ours"].measured for each in group]
        spread = median(result.p99 / result.p50 for result in results) if results else 0
        if spread > P99_TO_P50:
            yield f"{scenario}: p99 is {spread:.1f} times p50, the bar {P99_TO_P50}."


def request_failures(rounds: Sequence[Round]) -> Iterable[str]:
    for each in rounds:
        for name, result in each.results.items():
            load = result.measured
            if load.errors:
                yield (
                    f"{load.errors} of {load.requests} requests of {each.scenario} to {name} at "
                    f"{each.connections} connections failed: {load.first_error}"
                )


def memory_failures(memory: Memory) -> Iterable[str]:
    if not memory.resident_mb < RESIDENT_BAR_MB:
        yield f"Resident memory is {memory.resident_mb:.0f} MB, the bar {RESIDENT_BAR_MB} MB."


def machine() -> str:
    """Return the time and the hardware, without names of machines or people."""
    model = processor_model()
    load = os.getloadavg()[0]
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores{model}, "
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, "
        f"load average {load:.1f} before the start"
    )


def processor_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f" ({names[0]})" if names else ""
