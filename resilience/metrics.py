"""Counters and gauges, in the text format of Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

REGISTRY = CollectorRegistry()
CALLS = Counter(
    "guarded_calls",
    "Attempts at calls to outside services; refused ones were not made.",
    ("service", "outcome"),
    registry=REGISTRY,
)
TRANSITIONS = Counter(
    "breaker_transitions",
    "How often a breaker came into a state.",
    ("service", "state"),
    registry=REGISTRY,
)
STATE = Gauge(
    "breaker_state",
    "1 for the state that a breaker is in, 0 for the others.",
    ("service", "state"),
    registry=REGISTRY,
)
RATE_LIMIT_REJECTIONS = Counter(
    "rate_limit_rejections",
    "Requests that were refused because their client asked too often.",
    ("kind",),
    registry=REGISTRY,
)
RATE_LIMIT_STORE_AWAY = Gauge(
    "rate_limit_store_away",
    "1 while this process counts by itself because the shared store does not answer.",
    registry=REGISTRY,
)


def exposition() -> bytes:
    return generate_latest(REGISTRY)
