"""What a start of the service imports, which is most of the time that it takes."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
NEEDED_BY_FEW = {
    "PIL", "alembic", "cloudinary", "email_validator", "limits", "opentelemetry", "phonenumbers",
    "puremagic", "pypdf", "redis", "rich", "xlsxwriter",
}  # fmt: skip
ALL_OF_THE_SERVICE = {
    "operating",
    "schema",
    "server",
    "serving",
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


def test_start_imports_the_service_and_nothing_that_few_need():
    started = imported_by("import cli; cli.import_service()")

    assert started >= ALL_OF_THE_SERVICE
    assert started & NEEDED_BY_FEW == set()


def test_database_of_its_own_can_start_before_the_service_is_imported():
    assert imported_by("import cli") & ALL_OF_THE_SERVICE == set()


def test_what_the_first_team_and_file_need_is_imported_once_it_serves():
    later = imported_by("import server; [__import__(name) for name in server.NEEDED_LATER]")

    assert later >= {"email_validator", "phonenumbers", "PIL", "pypdf"}
