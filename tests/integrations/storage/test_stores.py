"""Behaviour of both stores, and Cloudinary's failures."""

import asyncio
import secrets
import signal
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from structlog.testing import capture_logs

from domain.errors.exceptions import StorageUnavailable
from integrations.storage.base import FileMissing, Folder
from integrations.storage.cloudinary_store import MAX_CONCURRENT_CALLS, CloudinaryStore
from integrations.storage.folder import FolderStore
from resilience.breaker_states import BreakerState
from resilience.circuit_breaker import ServiceGuard, ServiceGuardOptions
from tests.cloudinary import CloudinaryStandIn, signature
from tests.server_processes import wait_until

CONTENT = bytes(range(256)) * 1_000
ROOT = Path(__file__).parents[3]


class Seconds:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def stand_in():
    with CloudinaryStandIn() as opened:
        yield opened


def cloudinary(account: str, seconds: Seconds, *, attempts: int = 1, timeout: float = 10):
    guard = ServiceGuard(
        "cloudinary",
        ServiceGuardOptions(attempts=attempts, timeout_seconds=timeout, retry_wait_seconds=0),
        transient=CloudinaryStore.TRANSIENT,
        unavailable=StorageUnavailable,
        clock=seconds,
    )
    return CloudinaryStore(account, guard, timeout_seconds=timeout), guard


@pytest.fixture(params=["folder", "cloudinary"])
def store(request, tmp_path, stand_in, seconds):
    if request.param == "folder":
        return FolderStore(tmp_path / "store")
    return cloudinary(stand_in.url, seconds)[0]


@pytest.fixture
def source(tmp_path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def name() -> str:
    return uuid4().hex


async def fetched(store, name: str, folder: Folder, tmp_path: Path) -> bytes:
    await store.fetch(name, folder, tmp_path / "copy")
    return (tmp_path / "copy").read_bytes()


async def test_fetched_file_equals_the_saved_one(store, source, name, tmp_path):
    await store.save(name, Folder.PENDING, source)

    assert await fetched(store, name, Folder.PENDING, tmp_path) == CONTENT


async def test_saving_again_changes_nothing(store, source, name, tmp_path):
    for _ in range(2):
        await store.save(name, Folder.PENDING, source)

    assert await fetched(store, name, Folder.PENDING, tmp_path) == CONTENT


async def test_file_moves_between_folders(store, source, name, tmp_path):
    await store.save(name, Folder.PENDING, source)

    await store.move(name, Folder.PENDING, Folder.CONFIRMED)
    await store.move(name, Folder.PENDING, Folder.CONFIRMED)

    assert await fetched(store, name, Folder.CONFIRMED, tmp_path) == CONTENT
    with pytest.raises(FileMissing):
        await store.fetch(name, Folder.PENDING, tmp_path / "other")


async def test_file_in_neither_folder_cannot_be_moved(store, name):
    with pytest.raises(FileMissing):
        await store.move(name, Folder.PENDING, Folder.REJECTED)


async def test_deletion_is_repeatable(store, source, name, tmp_path):
    await store.save(name, Folder.REJECTED, source)

    for _ in range(2):
        await store.delete(name, Folder.REJECTED)

    with pytest.raises(FileMissing):
        await store.fetch(name, Folder.REJECTED, tmp_path / "copy")


async def test_check_of_a_working_store_returns(store):
    await store.check()


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "A" * 32, "0" * 15, "/" + "0" * 31])
async def test_invalid_name_is_refused(store, source, name, stand_in, tmp_path):
    with pytest.raises(ValueError, match="not the name"):
        await store.save(name, Folder.PENDING, source)

    assert stand_in.total_calls == 0
    assert not (tmp_path / "store").exists()


async def test_unusable_folder_is_storage_unavailable(tmp_path, source, name):
    (tmp_path / "store").write_bytes(b"a file")
    store = FolderStore(tmp_path / "store")

    for call in (store.save(name, Folder.PENDING, source), store.check()):
        with pytest.raises(StorageUnavailable):
            await call

    assert (tmp_path / "store").read_bytes() == b"a file"


async def test_files_are_private_and_no_partial_file_remains(tmp_path, source, name):
    await FolderStore(tmp_path / "store").save(name, Folder.PENDING, source)

    modes = {
        path.name: oct(path.stat().st_mode & 0o777) for path in (tmp_path / "store").rglob("*")
    }
    assert modes == {"pending": "0o700", name: "0o600"}


SAVING = """
import asyncio, pathlib, sys
from integrations.storage.folder import FolderStore
from integrations.storage.base import Folder
async def save():
    store = FolderStore(pathlib.Path(sys.argv[1]))
    for number in range(10_000):
        await store.save(f"{number:032x}", Folder.PENDING, pathlib.Path(sys.argv[2]))
asyncio.run(save())
"""


async def test_killed_process_leaves_only_complete_files(tmp_path, source):
    pending = tmp_path / "store" / "pending"
    process = subprocess.Popen(
        [sys.executable, "-c", SAVING, str(tmp_path / "store"), str(source)], cwd=ROOT
    )
    await wait_until(
        lambda: pending.exists() and len(list(pending.iterdir())) > 20, "files are saved"
    )
    process.send_signal(signal.SIGKILL)
    process.wait()

    whole = [path for path in pending.iterdir() if len(path.name) == 32]
    assert len(whole) >= 20
    assert {path.read_bytes() == CONTENT for path in whole} == {True}


@pytest.mark.parametrize("mood", ["500", "503", "420", "429", "page", "cutting"])
async def test_transient_failures_are_retried_three_times(stand_in, seconds, source, name, mood):
    store, guard = cloudinary(stand_in.url, seconds, attempts=3)
    stand_in.mood = mood

    with pytest.raises(StorageUnavailable):
        await store.save(name, Folder.PENDING, source)

    assert stand_in.calls == {"upload": 3}
    assert stand_in.assets == {}
    assert guard.state == BreakerState.CLOSED


async def test_call_without_answer_times_out(stand_in, seconds, source, name):
    store, _ = cloudinary(stand_in.url, seconds, timeout=0.2)
    stand_in.gate.clear()

    with pytest.raises(StorageUnavailable):
        await store.save(name, Folder.PENDING, source)

    assert stand_in.calls == {"upload": 1}


async def test_refused_connection_is_storage_unavailable(seconds, source, name):
    store, _ = cloudinary("cloudinary://1:2@cloud?upload_prefix=http://127.0.0.1:1", seconds)

    with pytest.raises(StorageUnavailable):
        await store.save(name, Folder.PENDING, source)


async def test_wrong_api_secret_is_logged_as_error(stand_in, seconds, source, name):
    wrong = secrets.token_hex(20)
    store, guard = cloudinary(stand_in.url_with(wrong), seconds, attempts=3)

    with capture_logs() as events:
        for call in (store.save(name, Folder.PENDING, source), store.check()):
            with pytest.raises(StorageUnavailable):
                await call

    refusals = [event for event in events if event["event"] == "storage_request_rejected"]
    assert [(refusal["log_level"], refusal["error"]) for refusal in refusals] == [
        ("error", "AuthorizationRequired")
    ] * 2
    assert stand_in.calls == {"upload": 1, "ping": 1}
    assert stand_in.assets == {}
    assert guard.state == BreakerState.CLOSED
    assert wrong not in str(events)


async def test_assets_are_raw_and_authenticated(stand_in, seconds, source, name):
    store, _ = cloudinary(stand_in.url, seconds)
    await store.save(name, Folder.PENDING, source)

    async with httpx.AsyncClient(base_url=stand_in.address) as stranger:
        path = f"/v1_1/icct26/raw/download?public_id=pending/{name}&type=authenticated"
        guessed = await stranger.get(path)

    assert list(stand_in.assets) == [("raw", "authenticated", f"pending/{name}")]
    assert guessed.status_code == 401


async def test_at_most_eight_calls_run_at_once(stand_in, seconds, source):
    store, _ = cloudinary(stand_in.url, seconds)
    stand_in.gate.clear()

    saving = [
        asyncio.create_task(store.save(uuid4().hex, Folder.PENDING, source)) for _ in range(20)
    ]
    await wait_until(lambda: stand_in.total_calls == MAX_CONCURRENT_CALLS, "eight calls are made")
    stand_in.gate.set()
    await asyncio.gather(*saving)

    assert stand_in.most_at_once == MAX_CONCURRENT_CALLS
    assert len(stand_in.assets) == 20


async def test_outage_opens_the_breaker_and_recovers(stand_in, seconds, source):
    store, guard = cloudinary(stand_in.url, seconds)

    async def save() -> None:
        await store.save(uuid4().hex, Folder.PENDING, source)

    stand_in.mood = "503"
    for _ in range(5):
        with pytest.raises(StorageUnavailable):
            await save()
    refusals = await asyncio.gather(*(save() for _ in range(20)), return_exceptions=True)
    calls_while_open = stand_in.total_calls

    stand_in.mood = "healthy"
    stand_in.gate.clear()
    seconds.now += 60
    callers = [asyncio.create_task(save()) for _ in range(50)]
    await wait_until(
        lambda: sum(caller.done() for caller in callers) == 49, "all but the probe are refused"
    )
    stand_in.gate.set()
    outcomes = await asyncio.gather(*callers, return_exceptions=True)
    calls_of_probe = stand_in.total_calls - calls_while_open

    assert {type(refusal) for refusal in refusals} == {StorageUnavailable}
    assert calls_while_open == 5
    assert calls_of_probe == 1
    assert sum(outcome is None for outcome in outcomes) == 1
    assert guard.state == BreakerState.CLOSED
    await save()
    assert len(stand_in.assets) == 2


def test_stand_in_verifies_the_documented_signature():
    fields = {
        "timestamp": b"1315060510",
        "public_id": b"sample_image",
        "eager": b"w_400,h_300,c_pad|w_260,h_200,c_crop",
        "file": b"not signed",
        "api_key": b"1234",
    }

    assert signature(fields, "abcd") == "bfd09f95f331f558cbd1320e67aa8d488770583e"


@pytest.mark.parametrize("mood", ["420", "429", "500", "503", "page", "cutting"])
async def test_refused_listing_does_not_affect_uploads(stand_in, seconds, source, name, mood):
    store, guard = cloudinary(stand_in.url, seconds, attempts=3)
    stand_in.mood = mood

    for call in [store.files, store.check] * 10:
        with pytest.raises(StorageUnavailable):
            await call()
    calls = stand_in.total_calls
    stand_in.mood = "healthy"
    await store.save(name, Folder.PENDING, source)

    # The SDK itself retries a cut connection three times.
    assert calls == ServiceGuardOptions().failures * (4 if mood == "cutting" else 1)
    assert guard.state == BreakerState.CLOSED
    assert stand_in.names == [f"pending/{name}"]
