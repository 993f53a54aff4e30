"""Errors of the embedded database, as commands print them."""

import os

import pytest
import typer

import cli
from persistence.embedded.server import EmbeddedPostgres
from settings import load_settings
from tests.server_processes import run_cli


async def test_database_that_does_not_start_is_reported_once(tmp_path):
    data_dir = tmp_path / "data"
    with EmbeddedPostgres(data_dir):
        pass
    (data_dir / "postgres18" / "cluster" / "postgresql.conf").write_text("no_such_setting = 1\n")

    done = await run_cli(tmp_path, "migrate", DATA_DIR=str(data_dir))

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(
        f"DATA_DIR: The database in {data_dir / 'postgres18'} did not start. "
    )
    assert done.stderr.count("did not start") == 1
    assert "no_such_setting" in done.stderr


def test_database_that_cannot_be_stopped_is_not_reported_as_not_started(tmp_path, capsys):
    data_dir = tmp_path / "data"
    lock = data_dir / "postgres18" / "start.lock"
    settings = load_settings(None, environment="test", data_dir=data_dir)

    def use_database() -> None:
        with cli.database(settings):
            lock.unlink()
            lock.mkdir()

    with pytest.raises(typer.Exit) as ended:
        use_database()
    lock.rmdir()
    printed = capsys.readouterr()
    with EmbeddedPostgres(data_dir):
        pass

    assert ended.value.exit_code == 1
    assert printed.err == (
        f"DATA_DIR: The database in {data_dir} cannot be used: {lock}: {os.strerror(21)}.\n"
    )
