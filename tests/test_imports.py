"""Imports of a start of the service, which are most of the time that it takes."""

import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

import runner
from runner import WARM_UP_MODULES, preload_modules
from tests.environment import load_settings_from

ROOT = Path(__file__).parents[1]
NEEDED_BY_FEW = {
    "PIL", "alembic", "cloudinary", "email_validator", "limits", "opentelemetry", "phonenumbers",
    "puremagic", "pypdf", "redis", "rich", "xlsxwriter",
}  # fmt: skip
ALL_OF_THE_SERVICE = {
    "bootstrap",
    "schema",
    "server",
    "runner",
    "sqlmodel",
    "strawberry",
    "uvicorn",
}


def imported_by(program: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {program}; print(*sys.modules)"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(done.stdout.split())


def test_start_imports_the_service_and_nothing_that_few_need(tmp_path):
    started = imported_by(
        "import cli; cli.import_service();"
        "from settings import load_settings; from server import create_app;"
        f"create_app(load_settings(None, data_dir={str(tmp_path)!r}), 'postgresql+asyncpg:///icct26')"
    )

    assert started >= ALL_OF_THE_SERVICE
    assert started & NEEDED_BY_FEW == set()


def test_database_of_its_own_can_start_before_the_service_is_imported():
    assert imported_by("import cli") & ALL_OF_THE_SERVICE == set()


def test_what_the_first_team_needs_is_imported_later():
    later = imported_by("import runner; runner.warm_up()")

    assert later >= {"email_validator", "phonenumbers"}


def test_libraries_that_read_files_are_imported_only_by_processes_of_their_own():
    service = imported_by(
        "import cli, runner, integrations.storage.inspection.worker_pool; runner.warm_up()"
    )

    assert service & {"PIL", "pypdf", "puremagic"} == set()
    assert imported_by("import integrations.storage.inspection.worker") >= {
        "PIL",
        "pypdf",
        "puremagic",
    }


def test_processes_are_forked_from_one_that_has_imported_all(monkeypatch):
    alone = load_settings_from(monkeypatch)
    shared = load_settings_from(monkeypatch, RATE_LIMIT_STORAGE="redis://127.0.0.1")

    assert preload_modules(alone) == ["runner", *WARM_UP_MODULES]
    assert preload_modules(shared) == ["runner", *WARM_UP_MODULES, "web.rate_limiting.redis_store"]


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        (None, ModuleNotFoundError),
        ("import no_such_library", ModuleNotFoundError),
        ("from os import no_such_name", ImportError),
        ("def", SyntaxError),
        ("raise OSError", OSError),
        ("1 / 0", ZeroDivisionError),
    ],
)
def test_broken_library_is_named_and_keeps_no_other_from_being_imported(
    monkeypatch, tmp_path, source, cause
):
    if source is not None:
        (tmp_path / "broken_library.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(runner, "WARM_UP_MODULES", ("broken_library", "phonenumbers"))

    with capture_logs() as lines, pytest.raises(ImportError, match=r"^broken_library$") as raised:
        runner.warm_up()

    assert type(raised.value.__cause__) is cause
    assert [(line["event"], line["count"]) for line in lines] == [("modules_imported", 1)]


def test_rich_that_somebody_has_imported_stays_whole():
    program = "import rich.console, observability.without_rich; assert rich is sys.modules['rich']"

    assert "rich.console" in imported_by(program)


def test_command_line_that_another_program_imports_leaves_the_collector_alone():
    # As a process does that was forked to serve.
    imported_by(
        "import gc, runpy; runpy.run_path('cli.py', run_name='__mp_main__'); assert gc.isenabled()"
    )


def test_ctrl_c_in_the_middle_of_an_import_ends_it_without_a_word(tmp_path):
    (tmp_path / "typer.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nraise ImportError\n"
    )

    done = subprocess.run(
        [sys.executable, "cli.py", "serve"],
        cwd=ROOT,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
