"""When lines of the log are written, and in which order."""

import asyncio
import io
import json
import logging
import subprocess
import sys
import threading

import pytest
import structlog

from observability.logging_setup import configure_logging, log_fast
from tests.logging_state import restored_logging

log = structlog.get_logger("tests.handlers")


class Stream(io.StringIO):
    """Counts how often something was written."""

    writes = 0

    def write(self, text):
        self.writes += 1
        return super().write(text)


class Broken(io.StringIO):
    def write(self, _text):
        raise BrokenPipeError


def said(stream):
    return [json.loads(line)["message"] for line in stream.getvalue().splitlines()]


@pytest.fixture(params=[Stream])
def stream(request, monkeypatch):
    it = request.param()
    monkeypatch.setattr(sys, "stderr", it)
    with restored_logging():
        configure_logging(level="INFO", environment="production")
        yield it


async def test_lines_of_one_turn_of_the_loop_are_written_together(stream):
    log_fast("a", "first", number=1)
    log.info("second")
    assert said(stream) == []

    await asyncio.sleep(0)

    assert said(stream) == ["first", "second"]
    assert stream.writes == 1


@pytest.mark.parametrize("whose", ["ours", "a library's"])
async def test_a_warning_is_written_at_once_and_after_what_was_said_before(stream, whose):
    log_fast("a", "first", number=1)
    (log if whose == "ours" else logging.getLogger("library")).warning("second")
    assert said(stream) == ["first", "second"]
    log_fast("a", "third", number=1)

    await asyncio.sleep(0)

    assert said(stream) == ["first", "second", "third"]


def test_without_a_loop_every_line_is_written_at_once(stream):
    log_fast("a", "first", number=1)
    assert said(stream) == ["first"]
    log.info("second")
    assert said(stream) == ["first", "second"]


async def test_a_thread_writes_what_waits(stream):
    log_fast("a", "first", number=1)
    await asyncio.to_thread(log.warning, "second")

    assert said(stream) == ["first", "second"]


async def test_a_thread_does_not_wait_for_the_loop(stream):
    log_fast("a", "first", number=1)

    thread = threading.Thread(target=log_fast, args=("a", "second"), kwargs={"number": 1})
    thread.start()
    thread.join()

    assert said(stream) == ["first", "second"]


@pytest.mark.parametrize("stream", [Broken], indirect=True)
async def test_a_screen_that_is_gone_stops_nobody(stream):
    failures = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))

    log_fast("a", "first", number=1)
    log.warning("second")
    await asyncio.sleep(0)

    assert failures == []


ENDING = """
import asyncio
from observability.logging_setup import configure_logging, log_fast

configure_logging(level="INFO", environment="production")

loop = asyncio.new_event_loop()

def end(line):
    loop.stop()
    log_fast("a", line, number=1)

loop.call_soon(end, "last")
loop.run_forever()
"""


def test_what_waits_when_the_process_ends_is_written():
    ended = subprocess.run(
        [sys.executable, "-c", ENDING], check=True, stderr=subprocess.PIPE, text=True
    )

    messages = [line for line in ended.stderr.splitlines() if line.startswith("{")]
    assert [json.loads(line)["message"] for line in messages] == ["last"]
