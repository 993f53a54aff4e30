"""What is not said again, and when it is."""

import asyncio

import pytest
import structlog

from observability.dedup import (
    MAX_TRACEBACKS,
    TRACEBACK_INTERVAL_SECONDS,
    TracebackThrottle,
    deduplicate_warnings,
    drop_repeated,
    traceback_location,
)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def raised(error: Exception) -> Exception:
    try:
        raise error
    except type(error) as caught:
        return caught


def is_written(method: str, event: str, **fields: object) -> bool:
    try:
        drop_repeated(None, method, {"event": event, **fields})
    except structlog.DropEvent:
        return False
    return True


def test_outside_a_request_everything_is_written():
    assert all(is_written("warning", "store_away") for _ in range(3))


def test_warning_is_written_once_per_request_whatever_its_fields():
    with deduplicate_warnings():
        written = [is_written("warning", "database_retried", attempt=i) for i in range(3)]
        assert is_written("error", "database_retried")

    assert written == [True, False, False]
    with deduplicate_warnings():
        assert is_written("warning", "database_retried")


def test_facts_are_never_dropped():
    with deduplicate_warnings():
        assert all(is_written("info", "team_registered") for _ in range(3))


async def test_tasks_of_a_request_share_what_was_said():
    async def warn() -> bool:
        return is_written("warning", "database_retried")

    with deduplicate_warnings():
        written = await asyncio.gather(*(warn() for _ in range(3)))

    assert sorted(written) == [False, False, True]


def test_same_stack_is_new_again_after_a_minute():
    clock = Clock()
    stacks = TracebackThrottle(clock)
    errors = [raised(ValueError(str(number))) for number in range(3)]

    assert [stacks.is_new(error) for error in errors] == [True, False, False]

    clock.now += TRACEBACK_INTERVAL_SECONDS
    assert stacks.is_new(errors[0])


def test_other_class_at_the_same_place_is_new():
    stacks = TracebackThrottle(Clock())

    assert [stacks.is_new(raised(kind())) for kind in (ValueError, KeyError)] == [True, True]


def test_places_are_forgotten_when_there_are_many():
    stacks = TracebackThrottle(Clock())
    kinds = [type(f"Error{number}", (Exception,), {}) for number in range(MAX_TRACEBACKS + 1)]
    for kind in kinds:
        stacks.is_new(kind())

    assert stacks.is_new(kinds[0]())
    assert not stacks.is_new(kinds[-1]())


@pytest.mark.parametrize("words", ["Asha Rao", "+91 98765 43210"])
def test_place_holds_no_words_of_the_error(words):
    place = traceback_location(raised(ValueError(words)))

    assert words not in place
    assert place.startswith("ValueError at ")
    assert "test_dedup.py:" in place
