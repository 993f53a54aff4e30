"""Organisers from the command line, as a real process."""

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
    """Runs a command on the database of the test."""
    url = database_url.replace("+asyncpg", "")

    async def run(*arguments: str, given: str = "") -> subprocess.CompletedProcess:
        return await asyncio.to_thread(
            subprocess.run,
            [sys.executable, str(CLI), *arguments],
            cwd=tmp_path,
            env=process_environment({"DATABASE_URL": url, "DATA_DIR": str(tmp_path)}),
            input=given,
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
    done = await cli(*create("Owner@Example.org"), given=f"{PASSWORD}\n")

    assert (done.returncode, done.stdout) == (0, "owner@example.org can sign in as OWNER.\n")
    opened = await accounts.sign_in(services, email="owner@example.org", password=PASSWORD)
    assert opened.organiser.role == Role.OWNER
    assert opened.token.startswith("ics_")
    (row,) = await sql.fetch(ROWS)
    assert row["password_hash"].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert PASSWORD not in done.stdout + done.stderr
    assert "owner@example.org" not in done.stderr
    event = await sql.fetchrow("SELECT actor, action FROM audit_event ORDER BY id LIMIT 1")
    assert tuple(event) == ("system", "organiser.created")


TOO_SHORT = "A password has 12 to 128 characters. Please choose another password.\n"


@pytest.mark.parametrize(
    ("command", "given", "message"),
    [
        (create("owner@example.org"), "too short\n", TOO_SHORT),
        (create("owner@example.org"), "", TOO_SHORT),
        (create("nobody", "VIEWER"), PASSWORD, "Please enter a valid e-mail address"),
        (create("owner@example.org", "CHIEF"), PASSWORD, "Invalid value for '--role'"),
    ],
)
async def test_what_is_wrong_is_said_and_makes_no_organiser(cli, sql, command, given, message):
    done = await cli(*command, given=given)

    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert await sql.fetch(ROWS) == []


async def test_organiser_who_is_there_is_not_created_again(cli, services, sql):
    await new_session(services)
    before = await sql.fetch(ROWS)

    done = await cli(*create("owner@example.org", "viewer"), given="another long password")

    assert done.returncode == 1
    assert done.stderr.endswith("There is an organiser with this e-mail already.\n")
    assert await sql.fetch(ROWS) == before


async def test_reset_password_ends_the_sessions(cli, services):
    real = with_real_clock(services)
    opened = await new_session(real)

    done = await cli(*reset("owner@example.org"), given="another long password")

    assert (done.returncode, done.stdout) == (
        0,
        "The password is changed. 1 sessions and 0 API tokens have ended.\n",
    )
    with pytest.raises(Unauthenticated):
        await accounts.authenticate(real, opened.token)
    await accounts.sign_in(real, email="owner@example.org", password="another long password")


async def test_reset_password_of_nobody_is_refused(cli):
    done = await cli(*reset("nobody@example.org", "--disable-totp"), given=PASSWORD)

    assert done.returncode == 1
    assert done.stderr.endswith("There is no organiser with this e-mail.\n")
