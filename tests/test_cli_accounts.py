"""Commands for organisers' accounts, run as a separate process."""

import asyncio
import subprocess
import sys

import pytest

from domain.auth.roles import Role
from domain.errors.exceptions import Unauthenticated
from resolvers.accounts import sessions as accounts
from tests.accounts import PASSWORD, new_session, with_real_clock
from tests.server_processes import CLI, PATIENCE_SECONDS, process_environment

ROWS = "SELECT email, role, password_hash FROM organiser"


@pytest.fixture
def cli(tmp_path, database, database_url):
    """Run a command with the test's database."""
    url = database_url.replace("+asyncpg", "")

    async def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess:
        return await asyncio.to_thread(
            subprocess.run,
            [sys.executable, str(CLI), *arguments],
            cwd=tmp_path,
            env=process_environment({"DATABASE_URL": url, "DATA_DIR": str(tmp_path)}),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )

    return run


def create(email: str, role: str = "OWNER") -> list[str]:
    return ["create-organiser", "--email", email, "--role", role, "--password-stdin"]


def reset(email: str, *options: str) -> list[str]:
    return ["reset-password", "--email", email, "--password-stdin", *options]


async def test_created_organiser_can_sign_in(cli, services, sql):
    process = await cli(*create("Owner@Example.org"), stdin=f"{PASSWORD}\n")

    assert (process.returncode, process.stdout) == (0, "owner@example.org can sign in as OWNER.\n")
    opened = await accounts.sign_in(services, email="owner@example.org", password=PASSWORD)
    assert opened.organiser.role == Role.OWNER
    assert opened.token.startswith("ics_")
    (row,) = await sql.fetch(ROWS)
    assert row["password_hash"].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert PASSWORD not in process.stdout + process.stderr
    assert "owner@example.org" not in process.stderr
    event = await sql.fetchrow("SELECT actor, action FROM audit_event ORDER BY id LIMIT 1")
    assert tuple(event) == ("system", "organiser.created")


TOO_SHORT = "A password has 12 to 128 characters. Please choose another password.\n"


@pytest.mark.parametrize(
    ("command", "stdin", "message"),
    [
        (create("owner@example.org"), "too short\n", TOO_SHORT),
        (create("owner@example.org"), "", TOO_SHORT),
        (create("nobody", "VIEWER"), PASSWORD, "Please enter a valid e-mail address"),
        (create("owner@example.org", "CHIEF"), PASSWORD, "Invalid value for '--role'"),
    ],
)
async def test_invalid_input_creates_no_organiser(cli, sql, command, stdin, message):
    process = await cli(*command, stdin=stdin)

    assert process.returncode != 0
    assert message in process.stderr
    assert "Traceback" not in process.stderr
    assert await sql.fetch(ROWS) == []


async def test_existing_organiser_is_not_created_again(cli, services, sql):
    await new_session(services)
    before = await sql.fetch(ROWS)

    process = await cli(*create("owner@example.org", "viewer"), stdin="another long password")

    assert process.returncode == 1
    assert process.stderr.endswith("There is an organiser with this e-mail already.\n")
    assert await sql.fetch(ROWS) == before


async def test_reset_password_ends_the_sessions(cli, services):
    real = with_real_clock(services)
    opened = await new_session(real)

    process = await cli(*reset("owner@example.org"), stdin="another long password")

    assert (process.returncode, process.stdout) == (
        0,
        "The password is changed. 1 sessions and 0 API tokens have ended.\n",
    )
    with pytest.raises(Unauthenticated):
        await accounts.authenticate(real, opened.token)
    await accounts.sign_in(real, email="owner@example.org", password="another long password")


async def test_reset_password_of_an_unknown_organiser_is_refused(cli):
    process = await cli(*reset("nobody@example.org", "--disable-totp"), stdin=PASSWORD)

    assert process.returncode == 1
    assert process.stderr.endswith("There is no organiser with this e-mail.\n")
