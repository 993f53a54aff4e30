"""Prometheus metrics of this service."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

# Read by prometheus_client: the folder in which several processes of one server share counts.
MULTIPROC_DIR_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
REGISTRY = CollectorRegistry()
# Gauges that the answering process sets for each scrape.
SCRAPE_TIME_REGISTRY = CollectorRegistry()
DURATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

HTTP_REQUEST_SECONDS = Histogram(
    "http_request_seconds",
    "Time from the head of a request to the end of its response.",
    ("route", "status"),
    registry=REGISTRY,
    buckets=DURATION_BUCKETS,
)
GRAPHQL_OPERATION_SECONDS = Histogram(
    "graphql_operation_seconds",
    "Time of a GraphQL request. `name` is its root field, `several` or `invalid`.",
    ("type", "name"),
    registry=REGISTRY,
    buckets=DURATION_BUCKETS,
)
ERRORS = Counter(
    "errors",
    "Errors sent to clients, by their code.",
    ("code",),
    registry=REGISTRY,
)
GRAPHQL_EXECUTIONS = Counter(
    "graphql_executions",
    "Operations by the way they ran: compiled, interpreted by graphql-core, or re-executed by"
    " graphql-core after the compiled run failed; and root fields rendered by the database.",
    ("how",),
    registry=REGISTRY,
)
DATABASE_CONNECTIONS = Gauge(
    "database_connections",
    "Connections of the answering process to the database.",
    ("state",),
    registry=SCRAPE_TIME_REGISTRY,
)
OUTBOX_PENDING = Gauge(
    "outbox_pending",
    "Outbox messages that wait for delivery.",
    ("kind",),
    registry=SCRAPE_TIME_REGISTRY,
)
OUTBOX_UNHANDLED = Gauge(
    "outbox_unhandled",
    "Outbox messages of kinds that this version does not deliver yet.",
    ("kind",),
    registry=SCRAPE_TIME_REGISTRY,
)
OUTBOX_DEAD = Gauge(
    "outbox_dead",
    "Outbox messages that were given up after too many attempts.",
    ("kind",),
    registry=SCRAPE_TIME_REGISTRY,
)
OUTBOX_LATE_SECONDS = Gauge(
    "outbox_late_seconds",
    "Time since the oldest undelivered outbox message was first due.",
    registry=SCRAPE_TIME_REGISTRY,
)
GUARDED_CALLS = Counter(
    "guarded_calls",
    "Calls to outside services, by outcome; `refused` calls were not made.",
    ("service", "outcome"),
    registry=REGISTRY,
)
BREAKER_TRANSITIONS = Counter(
    "breaker_transitions",
    "Changes of a circuit breaker, by its new state.",
    ("service", "state"),
    registry=REGISTRY,
)
BREAKER_STATE = Gauge(
    "breaker_state",
    "1 for the current state of a circuit breaker, 0 for the others.",
    ("service", "state"),
    registry=REGISTRY,
    multiprocess_mode="livemax",
)
INSPECTIONS = Counter(
    "inspections",
    "Inspected files: kept, refused, or failed because the inspecting process ended.",
    ("outcome",),
    registry=REGISTRY,
)
RATE_LIMIT_REJECTIONS = Counter(
    "rate_limit_rejections",
    "Requests refused by a rate limit.",
    ("kind",),
    registry=REGISTRY,
)
RATE_LIMIT_STORE_UNAVAILABLE = Gauge(
    "rate_limit_store_unavailable",
    "1 while this process counts alone because the shared store is unavailable.",
    registry=REGISTRY,
    multiprocess_mode="livemax",
)
BACKGROUND_TASK_UP = Gauge(
    "background_task_up",
    "1 while a background task works; 0 while it fails in any process.",
    ("task",),
    registry=REGISTRY,
    multiprocess_mode="livemin",
)
BACKGROUND_TASK_RESTARTS = Counter(
    "background_task_restarts",
    "Restarts of a background task after a failure.",
    ("task",),
    registry=REGISTRY,
)


class _SharedMetricsCollector:
    """Collect the counts of all processes, without the gauges that are set for each scrape."""

    def collect(self) -> Iterable[Any]:
        scrape_time_names = {metric.name for metric in SCRAPE_TIME_REGISTRY.collect()}
        metrics = MultiProcessCollector(None).collect()  # type: ignore[no-untyped-call]
        return [metric for metric in metrics if metric.name not in scrape_time_names]


def exposition() -> bytes:
    """Render all metrics in Prometheus' text format, summed over all processes of the server."""
    registry = REGISTRY
    if MULTIPROC_DIR_VARIABLE in os.environ:
        registry = CollectorRegistry()
        registry.register(_SharedMetricsCollector())
    return generate_latest(registry) + generate_latest(SCRAPE_TIME_REGISTRY)


def remove_dead_process_gauges() -> None:
    """Remove the `live` gauges of processes that have ended. Their counters are kept."""
    if MULTIPROC_DIR_VARIABLE not in os.environ:
        return
    for file in Path(os.environ[MULTIPROC_DIR_VARIABLE]).glob("gauge_live*_*.db"):
        pid = file.stem.rpartition("_")[2]
        if pid.isdecimal() and not _is_alive(int(pid)):
            file.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
