from concurrent.futures import ThreadPoolExecutor
from stat import S_IMODE

import pytest

from settings import SettingsError, ensure_secret_key


def test_secret_is_created_once_with_private_mode(tmp_path):
    data_dir = tmp_path / "deep" / "data"

    first = ensure_secret_key(data_dir)

    assert len(first) == 64
    assert ensure_secret_key(data_dir) == first
    assert S_IMODE((data_dir / "secret_key").stat().st_mode) == 0o600
    assert [path.name for path in data_dir.iterdir()] == ["secret_key"]


def test_mode_of_an_existing_data_folder_is_unchanged(tmp_path):
    tmp_path.chmod(0o751)

    ensure_secret_key(tmp_path)

    assert S_IMODE(tmp_path.stat().st_mode) == 0o751


def test_concurrent_callers_get_the_same_secret(tmp_path):
    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(ensure_secret_key, [tmp_path] * 64))

    assert len(keys) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]


def test_damaged_secret_is_refused(tmp_path):
    (tmp_path / "secret_key").write_text("hunter2", encoding="ascii")

    with pytest.raises(SettingsError) as raised:
        ensure_secret_key(tmp_path)

    assert raised.value.problems == [
        f"DATA_DIR: {tmp_path / 'secret_key'} is damaged: delete it to create a new secret"
    ]


def test_data_folder_that_cannot_be_created_is_reported(tmp_path):
    (tmp_path / "data").write_text("", encoding="ascii")

    with pytest.raises(SettingsError, match=r"^DATA_DIR: "):
        ensure_secret_key(tmp_path / "data")
