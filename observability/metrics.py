"""Counters and gauges, in the text format of Prometheus."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

# Of the library: where processes that serve together write what they count.
MULTIPROC_DIR_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
REGISTRY = CollectorRegistry()
# What is measured when it is asked for, by the process that is asked.
SCRAPE_TIME_REGISTRY = CollectorRegistry()
DURATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

REQUEST_SECONDS = Histogram(
    "http_request_seconds",
    "Time from the head of a request to the end of its answer.",
    ("route", "status"),
    registry=REGISTRY,
    buckets=DURATION_BUCKETS,
)
OPERATION_SECONDS = Histogram(
    "graphql_operation_seconds",
    "Time of a GraphQL request, by its one root field, or `several`, or `invalid`.",
    ("type", "name"),
    registry=REGISTRY,
    buckets=DURATION_BUCKETS,
)
ERRORS = Counter(
    "errors",
    "Errors that clients were told of, by their code.",
    ("code",),
    registry=REGISTRY,
)
GRAPHQL_EXECUTIONS = Counter(
    "graphql_executions",
    "Operations that ran compiled, or interpreted, or were repeated by the interpreter because"
    " something was odd; and root fields that the database rendered.",
    ("how",),
    registry=REGISTRY,
)
DATABASE_CONNECTIONS = Gauge(
    "database_connections",
    "Connections of this process to the database.",
    ("state",),
    registry=SCRAPE_TIME_REGISTRY,
)
OUTBOX_PENDING = Gauge(
    "outbox_owed",
    "Messages of delivered kinds that are still to be delivered.",
    ("kind",),
    registry=SCRAPE_TIME_REGISTRY,
)
OUTBOX_UNHANDLED = Gauge(
    "outbox_unhandled",
    "Messages of kinds that no version of this service delivers yet.",
    ("kind",),
    registry=SCRAPE_TIME_REGISTRY,
)
OUTBOX_DEAD = Gauge(
    "outbox_dead", "Messages that were given up.", ("kind",), registry=SCRAPE_TIME_REGISTRY
)
OUTBOX_LATE_SECONDS = Gauge(
    "outbox_late_seconds",
    "Time since a message of a delivered kind was first due that is not delivered, the longest.",
    registry=SCRAPE_TIME_REGISTRY,
)
BREAKER_CALLS = Counter(
    "guarded_calls",
    "Attempts at calls to outside services; refused ones were not made.",
    ("service", "outcome"),
    registry=REGISTRY,
)
BREAKER_TRANSITIONS = Counter(
    "breaker_transitions",
    "How often a breaker came into a state.",
    ("service", "state"),
    registry=REGISTRY,
)
BREAKER_STATE = Gauge(
    "breaker_state",
    "1 for the state that a breaker is in, 0 for the others.",
    ("service", "state"),
    registry=REGISTRY,
    multiprocess_mode="livemax",
)
INSPECTIONS = Counter(
    "inspections",
    "Files that were looked into: kept, refused, or failed because their process ended with them.",
    ("outcome",),
    registry=REGISTRY,
)
RATE_LIMIT_REJECTIONS = Counter(
    "rate_limit_rejections",
    "Requests that were refused because their client asked too often.",
    ("kind",),
    registry=REGISTRY,
)
RATE_LIMIT_STORE_UNAVAILABLE = Gauge(
    "rate_limit_store_away",
    "1 while this process counts by itself because the shared store does not answer.",
    registry=REGISTRY,
    multiprocess_mode="livemax",
)
BACKGROUND_TASK_UP = Gauge(
    "background_task_up",
    "1 while a background task works, 0 while it fails in any process.",
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


class _Together:
    """What all processes have counted."""

    def collect(self) -> Iterable[Any]:
        measured = {one.name for one in SCRAPE_TIME_REGISTRY.collect()}
        found = MultiProcessCollector(None).collect()  # type: ignore[no-untyped-call]
        return [one for one in found if one.name not in measured]


def exposition() -> bytes:
    """Of this process, or of all that serve together."""
    registry = REGISTRY
    if MULTIPROC_DIR_VARIABLE in os.environ:
        registry = CollectorRegistry()
        registry.register(_Together())
    return generate_latest(registry) + generate_latest(SCRAPE_TIME_REGISTRY)


def remove_dead_process_gauges() -> None:
    """Of processes that have ended, what they counted stays; how they were goes."""
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
