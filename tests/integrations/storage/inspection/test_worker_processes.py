"""Inspection workers that are killed, hang, run out of memory or crash."""

import asyncio
import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from domain.documents import DocumentFormat, upload_advice
from domain.errors.exceptions import FileContentMismatch, ServiceUnavailable, StorageUnavailable
from integrations.storage.inspection import protocol, worker
from integrations.storage.inspection.worker import Job, process_job
from integrations.storage.inspection.worker_pool import (
    InspectionOptions,
    end_idle,
    inspection_queue,
    sanitize_file,
)
from observability.metrics import INSPECTIONS
from tests import sample_files
from tests.integrations.storage.inspection.files import (
    pdf,
    repeated_scan_jpeg,
    resize_header,
    stream,
)
from tests.server_processes import wait_until

ROOT = Path(__file__).parents[4]
ANY = tuple(DocumentFormat)
UNCHECKED = "The file cannot be checked. Save it as a new one, or take the picture again."
QUICK = InspectionOptions(seconds=1)


@pytest.fixture(autouse=True)
def no_idle_workers():
    """Start each test without idle workers."""
    end_idle()
    yield
    end_idle()


def process_count(outcome: str) -> float:
    return INSPECTIONS.labels(outcome)._value.get()


def worker_pids(parent: int | None = None) -> list[int]:
    """Return the worker processes of this or another process."""
    pids = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, its_parent = stat.read_text().rpartition(")")[2].split()[:2]
            command = stat.with_name("cmdline").read_bytes()
        except OSError:
            continue
        if int(its_parent) == (parent or os.getpid()) and state != "Z":
            pids += [int(stat.parent.name)] * (b"integrations.storage.inspection.worker" in command)
    return sorted(pids)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def sanitized_copy(
    folder: Path, content: bytes, name: str = "file", **options
) -> DocumentFormat:
    (folder / name).write_bytes(content)
    return await sanitize_file(folder / name, folder / f"{name}.copy", allowed=ANY, **options)


def hanging_file(folder: Path, name: str = "pipe", **options) -> asyncio.Task:
    """A file whose worker waits for its first byte."""
    os.mkfifo(folder / name)
    return asyncio.create_task(
        sanitize_file(folder / name, folder / f"{name}.copy", allowed=ANY, **options)
    )


async def busy_worker() -> int:
    await wait_until(
        lambda: len(worker_pids()) == 1 and inspection_queue()._running.total() == 1,
        "a process was started",
    )
    (pid,) = worker_pids()
    wait = Path(f"/proc/{pid}/wchan")
    await wait_until(
        lambda: "fifo" in wait.read_text() or is_opening_file(pid), "it opens the pipe"
    )
    return pid


def is_opening_file(pid: int) -> bool:
    """Return whether the worker waits in open() for the pipe."""
    system_call = Path(f"/proc/{pid}/syscall")
    try:
        return system_call.read_text().split()[0] in {"2", "257", "56"}
    except OSError:
        return True


async def check_other_files_pass(folder: Path) -> None:
    assert await sanitized_copy(folder, sample_files.jpeg(), "next") == DocumentFormat.JPEG
    assert (folder / "next.copy").read_bytes() == sample_files.jpeg()


async def test_worker_is_reused_and_has_no_secrets(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "a secret of the service")

    for number in range(3):
        await sanitized_copy(tmp_path, sample_files.png(), str(number))

    (pid,) = worker_pids()
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    status = Path(f"/proc/{pid}/status").read_text()
    assert b"SECRET_KEY" not in environment
    assert int(status.partition("VmRSS:")[2].split()[0]) < 60 * 1024


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT])
async def test_crashed_worker_is_replaced_and_the_file_refused(tmp_path, number):
    failed = process_count("failed")
    with capture_logs() as lines:
        task = hanging_file(tmp_path)
        pid = await busy_worker()
        os.kill(pid, number)
        with pytest.raises(FileContentMismatch) as refused:
            await task

    assert refused.value.message == UNCHECKED
    assert [(line["event"], line["reason"], line["log_level"]) for line in lines] == [
        ("inspection_failed", number.name, "warning")
    ]
    assert process_count("failed") == failed + 1
    assert not (tmp_path / "pipe.copy").exists()
    await check_other_files_pass(tmp_path)
    assert pid not in worker_pids()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_signals_for_the_service_do_not_end_a_worker(tmp_path, number):
    await sanitized_copy(tmp_path, sample_files.png())
    (pid,) = worker_pids()

    os.kill(pid, number)
    await check_other_files_pass(tmp_path)

    assert worker_pids() == [pid]


@pytest.mark.parametrize("files_at_once", [1, 2])
async def test_process_that_waits_too_long_for_a_file_is_ended(tmp_path, files_at_once):
    options = InspectionOptions(idle_seconds=0.2)

    async with asyncio.TaskGroup() as group:
        for number in range(files_at_once):
            copying = sanitized_copy(
                tmp_path, sample_files.png(), str(number), client=str(number), options=options
            )
            group.create_task(copying)
    pids = worker_pids()

    assert 1 <= len(pids) <= files_at_once
    await wait_until(
        lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "all have ended for good"
    )
    await check_other_files_pass(tmp_path)
    assert len(worker_pids()) == 1


async def test_process_that_is_used_again_and_again_is_kept(tmp_path):
    options = InspectionOptions(idle_seconds=0.2)
    await sanitized_copy(tmp_path, sample_files.png(), "first", options=options)
    pids, loop = worker_pids(), asyncio.get_running_loop()
    end = loop.time() + 4 * options.idle_seconds

    number = 0
    while loop.time() < end:
        await sanitized_copy(tmp_path, sample_files.png(), str(number), options=options)
        number += 1

    assert number > 1
    assert len(pids) == 1
    assert worker_pids() == pids


async def test_process_that_looks_into_a_file_is_not_ended_as_idle(tmp_path):
    options = InspectionOptions(idle_seconds=0.01)
    await sanitized_copy(tmp_path, sample_files.png(), options=InspectionOptions(idle_seconds=0.05))
    task = hanging_file(tmp_path, options=options)
    await wait_until(
        lambda: len(worker_pids()) == 1 and inspection_queue(options)._running.total() == 1,
        "it has begun",
    )
    (pid,) = worker_pids()
    loop = asyncio.get_running_loop()
    end = loop.time() + 0.1
    await wait_until(lambda: loop.time() > end, "the time for idle ones is over")

    assert worker_pids() == [pid]
    (tmp_path / "pipe").write_bytes(sample_files.png())
    assert await task == DocumentFormat.PNG


async def test_killed_idle_worker_does_not_fail_a_file(tmp_path):
    await sanitized_copy(tmp_path, sample_files.png())
    (pid,) = worker_pids()

    os.kill(pid, signal.SIGKILL)

    await check_other_files_pass(tmp_path)
    assert pid not in worker_pids()


async def test_hanging_worker_is_killed_at_its_deadline(tmp_path, monkeypatch):
    monkeypatch.setattr(InspectionOptions, "deadline_seconds", 0.3)

    with capture_logs() as lines, pytest.raises(FileContentMismatch):
        await hanging_file(tmp_path)

    assert [line["reason"] for line in lines] == ["timed out"]
    assert worker_pids() == []
    await check_other_files_pass(tmp_path)


async def test_file_that_takes_too_much_time_is_refused(tmp_path, monkeypatch):
    """pypdf searches the whole file for each of these objects, for five seconds at most."""
    monkeypatch.setattr(InspectionOptions, "deadline_seconds", 60)
    nowhere = b" ".join(b"%d 0 R" % number for number in range(1_000, 4_000))
    content = pdf(stream(b"\n1 " * 1_000_000), page=b"/X [%s]" % nowhere)

    with capture_logs() as lines, pytest.raises(FileContentMismatch):
        await sanitized_copy(tmp_path, content, options=QUICK)

    assert [line["reason"] for line in lines] == ["SIGXCPU"]
    await check_other_files_pass(tmp_path)


async def test_file_that_takes_too_much_memory_is_refused(tmp_path):
    tight = InspectionOptions(memory_bytes=80 << 20)
    content = resize_header(repeated_scan_jpeg(64, 48, 6, "L"), 7_000, 5_000)

    with pytest.raises(FileContentMismatch):
        await sanitized_copy(tmp_path, content, options=tight)

    assert not (tmp_path / "file.copy").exists()
    await check_other_files_pass(tmp_path)


async def test_cancelled_inspection_ends_its_worker(tmp_path):
    task = hanging_file(tmp_path)
    pid = await busy_worker()

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert not is_running(pid)
    assert inspection_queue()._running.total() == 0
    await check_other_files_pass(tmp_path)


async def test_other_clients_file_is_inspected_before_a_busy_clients_queue(tmp_path):
    stranger = [hanging_file(tmp_path, f"pipe{n}", client="198.51.100.7") for n in range(8)]
    await wait_until(lambda: inspection_queue().waiting == 7, "the files of the stranger wait")

    result = await sanitized_copy(tmp_path, sample_files.jpeg(), client="203.0.113.9")

    assert result == DocumentFormat.JPEG
    assert (inspection_queue()._running.total(), inspection_queue().waiting) == (1, 7)
    for task in stranger:
        task.cancel()
    await asyncio.gather(*stranger, return_exceptions=True)
    assert (inspection_queue()._running.total(), inspection_queue().waiting) == (0, 0)


async def test_full_queue_refuses_files_with_retry_after(tmp_path):
    few = InspectionOptions(waiting=2)
    tasks = [hanging_file(tmp_path, f"pipe{n}", options=few, client="a") for n in range(3)]
    await wait_until(lambda: inspection_queue(few).waiting == 2, "two wait")

    with pytest.raises(ServiceUnavailable) as refused:
        await sanitized_copy(tmp_path, sample_files.png(), options=few, client="a")

    assert refused.value.retry_after_seconds == 10
    assert (
        await sanitized_copy(tmp_path, sample_files.png(), options=few, client="b")
        == DocumentFormat.PNG
    )
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_worker_that_cannot_start_is_service_unavailable(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with capture_logs() as lines, pytest.raises(ServiceUnavailable):
        await sanitized_copy(tmp_path, sample_files.png())
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with capture_logs() as more, pytest.raises(ServiceUnavailable):
        await sanitized_copy(tmp_path, sample_files.png())
    monkeypatch.undo()

    assert [item["event"] for item in lines + more] == ["inspection_process_failed"] * 2
    assert more[0]["reason"] == "exit code 1"
    await check_other_files_pass(tmp_path)


async def test_disk_failure_is_storage_unavailable(tmp_path):
    (tmp_path / "file.copy").mkdir()
    with capture_logs() as lines, pytest.raises(StorageUnavailable):
        await sanitized_copy(tmp_path, sample_files.png())

    assert lines[0]["errno"] == errno.EISDIR
    with pytest.raises(FileNotFoundError):
        await sanitize_file(tmp_path / "nothing", tmp_path / "copy", allowed=ANY)


SERVICE = """
import asyncio, sys
from functools import partial
from pathlib import Path
from domain.documents import DocumentFormat
from integrations.storage.inspection.worker_pool import sanitize_file
async def main():
    folder = Path(sys.argv[1])
    copied = partial(sanitize_file, target=folder / "copy", allowed=tuple(DocumentFormat))
    await copied(folder / "file")
    waiting = [
        asyncio.create_task(copied(folder / name, client=name))
        for name in ("pipe", "pipe2")
    ]
    await asyncio.sleep(0 if sys.argv[2] == "idle" else 600)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await copied(folder / "file")
    print("idle", flush=True)
    await asyncio.sleep(600)
{run}
"""
LOOPS = {
    "asyncio": "asyncio.run(main())",
    "uvloop": "import uvloop; uvloop.run(main())",
    "a thread": "import threading; t = threading.Thread(target=asyncio.run, args=[main()]);"
    " t.start(); t.join()",
}


@pytest.mark.parametrize(
    ("loop", "state", "number"),
    [
        ("asyncio", "busy", signal.SIGKILL),
        ("uvloop", "busy", signal.SIGKILL),
        ("a thread", "busy", signal.SIGTERM),
        ("uvloop", "idle", signal.SIGTERM),
        ("asyncio", "idle", signal.SIGKILL),
    ],
)
async def test_end_of_the_service_ends_its_workers(tmp_path, loop, state, number):
    (tmp_path / "file").write_bytes(sample_files.png())
    for name in ("pipe", "pipe2"):
        os.mkfifo(tmp_path / name)
    service = subprocess.Popen(
        [sys.executable, "-c", SERVICE.format(run=LOOPS[loop]), str(tmp_path), state],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    try:
        expected = 1 if state == "idle" else 2
        if state == "idle":
            await asyncio.to_thread(service.stdout.readline)
        await wait_until(
            lambda: len(worker_pids(service.pid)) >= expected, "processes were started"
        )
        pids = worker_pids(service.pid)
        service.send_signal(number)
        service.wait()
        await wait_until(lambda: not any(map(is_running, pids)), "they have ended")
    finally:
        service.kill()
        service.wait()
        service.stdout.close()


def job(folder: Path, content: bytes, **changes) -> Job:
    (folder / "file").write_bytes(content)
    entries = {
        "source": str(folder / "file"),
        "target": str(folder / "copy"),
        "allowed": [item.value for item in ANY],
        "seconds": 1,
        "deadline_seconds": 1.0,
        "memory_bytes": 1,
    }
    return Job(**entries | changes)


def test_results_of_a_worker(tmp_path, monkeypatch):
    assert process_job(job(tmp_path, sample_files.png())) == {"format": "PNG"}
    assert (tmp_path / "copy").read_bytes() == sample_files.png()
    refusal = f"The file is no PNG, JPEG or PDF. {upload_advice(ANY)}"
    assert process_job(job(tmp_path, b"x")) == {"refused": refusal}
    assert process_job(job(tmp_path, b"x", source=str(tmp_path / "no"))) == {"errno": errno.ENOENT}
    assert process_job(job(tmp_path, sample_files.png(), target=str(tmp_path))) == {
        "errno": errno.EISDIR
    }


def test_unexpected_exception_is_reported_by_location_only(tmp_path, monkeypatch):
    def broken(content: bytes) -> bytes:
        raise KeyError(content)

    monkeypatch.setitem(worker._SANITIZERS, DocumentFormat.PNG, broken)

    (location,) = process_job(job(tmp_path, sample_files.png())).values()

    assert location.startswith("KeyError at ")
    assert "PNG" not in location


def test_worker_processes_each_line_and_exits_with_its_input(tmp_path):
    jobs = [
        job(tmp_path, sample_files.png(), seconds=5, deadline_seconds=5.0, memory_bytes=512 << 20)
    ] * 2
    lines = "".join(
        json.dumps({name: getattr(item, name) for name in Job.__slots__}) + "\n" for item in jobs
    )

    ended = subprocess.run(
        [sys.executable, "-m", "integrations.storage.inspection.worker"],
        input=lines.encode(),
        cwd=ROOT,
        capture_output=True,
        check=True,
    )

    assert ended.stdout == protocol.READY + (protocol.STARTED + b'{"format": "PNG"}\n') * 2
    assert ended.stderr == b""
