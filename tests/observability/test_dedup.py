"""Suppression of repeated warnings and tracebacks."""

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


def raise_and_catch(error: Exception) -> Exception:
    try:
        raise error
    except type(error) as caught:
        return caught


def is_logged(method: str, event: str, **fields: object) -> bool:
    try:
        drop_repeated(None, method, {"event": event, **fields})
    except structlog.DropEvent:
        return False
    return True


def test_repeated_warnings_outside_a_request_are_all_logged():
    assert all(is_logged("warning", "store_away") for _ in range(3))


def test_repeated_warning_in_a_request_is_logged_once_whatever_its_fields():
    with deduplicate_warnings():
        written = [is_logged("warning", "database_retried", attempt=i) for i in range(3)]
        assert is_logged("error", "database_retried")

    assert written == [True, False, False]
    with deduplicate_warnings():
        assert is_logged("warning", "database_retried")


def test_repeated_info_events_in_a_request_are_all_logged():
    with deduplicate_warnings():
        assert all(is_logged("info", "team_registered") for _ in range(3))


async def test_tasks_of_a_request_share_the_logged_warnings():
    async def warn() -> bool:
        return is_logged("warning", "database_retried")

    with deduplicate_warnings():
        written = await asyncio.gather(*(warn() for _ in range(3)))

    assert sorted(written) == [False, False, True]


def test_same_traceback_is_new_again_after_a_minute():
    clock = Clock()
    throttle = TracebackThrottle(clock)
    errors = [raise_and_catch(ValueError(str(number))) for number in range(3)]

    assert [throttle.should_log(error) for error in errors] == [True, False, False]

    clock.now += TRACEBACK_INTERVAL_SECONDS
    assert throttle.should_log(errors[0])


def test_other_exception_class_at_the_same_line_is_new():
    throttle = TracebackThrottle(Clock())

    errors = [raise_and_catch(kind()) for kind in (ValueError, KeyError)]

    assert [throttle.should_log(error) for error in errors] == [True, True]


def test_locations_are_cleared_when_there_are_too_many():
    throttle = TracebackThrottle(Clock())
    kinds = [type(f"Error{number}", (Exception,), {}) for number in range(MAX_TRACEBACKS + 1)]
    for kind in kinds:
        throttle.should_log(kind())

    assert throttle.should_log(kinds[0]())
    assert not throttle.should_log(kinds[-1]())


@pytest.mark.parametrize("message", ["Asha Rao", "+91 98765 43210"])
def test_traceback_location_does_not_contain_the_message(message):
    location = traceback_location(raise_and_catch(ValueError(message)))

    assert message not in location
    assert location.startswith("ValueError at ")
    assert "test_dedup.py:" in location
