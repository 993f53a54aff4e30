"""Timing and order in which log lines are written."""

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
    """Count calls of `write`."""

    writes = 0

    def write(self, text):
        self.writes += 1
        return super().write(text)


class BrokenStream(io.StringIO):
    def write(self, _text):
        raise BrokenPipeError


def messages(stream):
    return [json.loads(line)["message"] for line in stream.getvalue().splitlines()]


@pytest.fixture(params=[Stream])
def stream(request, monkeypatch):
    output = request.param()
    monkeypatch.setattr(sys, "stderr", output)
    with restored_logging():
        configure_logging(level="INFO", environment="production")
        yield output


async def test_lines_of_one_loop_iteration_are_written_together(stream):
    log_fast("a", "first", number=1)
    log.info("second")
    assert messages(stream) == []

    await asyncio.sleep(0)

    assert messages(stream) == ["first", "second"]
    assert stream.writes == 1


@pytest.mark.parametrize("source", ["ours", "library"])
async def test_warning_is_written_at_once_and_after_buffered_lines(stream, source):
    log_fast("a", "first", number=1)
    (log if source == "ours" else logging.getLogger("library")).warning("second")
    assert messages(stream) == ["first", "second"]
    log_fast("a", "third", number=1)

    await asyncio.sleep(0)

    assert messages(stream) == ["first", "second", "third"]


def test_lines_without_an_event_loop_are_written_at_once(stream):
    log_fast("a", "first", number=1)
    assert messages(stream) == ["first"]
    log.info("second")
    assert messages(stream) == ["first", "second"]


async def test_warning_in_a_thread_flushes_buffered_lines(stream):
    log_fast("a", "first", number=1)
    await asyncio.to_thread(log.warning, "second")

    assert messages(stream) == ["first", "second"]


async def test_line_of_a_thread_is_written_without_waiting_for_the_loop(stream):
    log_fast("a", "first", number=1)

    thread = threading.Thread(target=log_fast, args=("a", "second"), kwargs={"number": 1})
    thread.start()
    thread.join()

    assert messages(stream) == ["first", "second"]


@pytest.mark.parametrize("stream", [BrokenStream], indirect=True)
async def test_closed_output_raises_no_error(stream):
    failures = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))

    log_fast("a", "first", number=1)
    log.warning("second")
    await asyncio.sleep(0)

    assert failures == []


PROGRAM = """
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


def test_buffered_lines_are_written_when_the_process_ends():
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM], check=True, stderr=subprocess.PIPE, text=True
    )

    lines = [line for line in process.stderr.splitlines() if line.startswith("{")]
    assert [json.loads(line)["message"] for line in lines] == ["last"]
