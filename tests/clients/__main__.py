"""Sessions of Apollo Client and urql with the real service, and the rows that they leave.

Run by `make check`: needs node and npm, and says so when they are not here.
"""

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from persistence.embedded.server import EmbeddedPostgres
from tests.databases import dsn
from tests.server_processes import CLI, ServerProcess, process_environment

HERE = Path(__file__).parent
EMAIL = "owner@church.example"
PASSWORD = "correct horse battery"
ORIGIN = "https://icct26.example"
SETTINGS = {
    "ENVIRONMENT": "production",
    "ENABLE_RATE_LIMITING": "true",
    "ALLOWED_HOSTS": "127.0.0.1",
    "TRUSTED_PROXIES": "127.0.0.1",
    "SECRET_KEY": "a secret of the clients, long enough to be taken",
    "REQUIRED_DOCUMENTS": "none",
    "CORS_ORIGINS": ORIGIN,
    "CORS_CREDENTIALS": "true",
    "RATE_LIMIT_REQUESTS": "1000",
}
# Trusted as a person writes it: clients print it otherwise, and add __typename.
TRUSTED = """
query Rules {
  tournament { id, name, registration { state, remaining } }
  # Of the form.
  registrationRules { squadMin, squadMax, requiredDocuments }
}
"""
# Counts of players, documents and audit events: two of the teams were edited and confirmed.
TEAMS = """
SELECT name, status, version,
    (SELECT count(*) FROM player WHERE team_id = team.id),
    (SELECT count(*) FROM document WHERE team_id = team.id),
    (SELECT count(*) FROM audit_event WHERE team_id = team.id)
FROM team ORDER BY code
"""
EXPECTED_TEAMS = [
    ("Lions 1", "CONFIRMED", 3, 11, 1, 3),
    ("Warriors 2", "PENDING", 1, 11, 0, 1),
    ("Lions 3", "CONFIRMED", 3, 11, 1, 3),
    ("Warriors 4", "PENDING", 1, 11, 0, 1),
]
# The second client's: that which revoked all others, the renewed one, and that of the cookie.
EXPECTED_SESSIONS = 3
QUERIES_PER_MINUTE = 20


def install() -> None:
    """Install what the lock file names, unless that is there."""
    lock = (HERE / "package-lock.json").read_bytes()
    stamp = HERE / "node_modules" / "installed"
    if not stamp.exists() or stamp.read_bytes() != lock:
        subprocess.run(["npm", "ci", "--silent", "--prefix", str(HERE)], check=True, cwd=HERE)
        stamp.write_bytes(lock)


@asynccontextmanager
async def serving(folder: Path, url: str, **changes: str) -> AsyncGenerator[ServerProcess]:
    """A server that is starting, in a folder of its own."""
    variables = {"DATA_DIR": str(folder / "data"), "DATABASE_URL": url}
    server = ServerProcess(folder, SETTINGS | variables | changes)
    try:
        server.spawn()
        yield server
    finally:
        server.clean_up()


def create_owner(folder: Path, url: str) -> None:
    command = ["create-organiser", "--email", EMAIL, "--role", "OWNER", "--password-stdin"]
    made = subprocess.run(
        [sys.executable, str(CLI), *command],
        cwd=folder,
        env=process_environment(SETTINGS | {"DATA_DIR": str(folder / "data"), "DATABASE_URL": url}),
        input=f"{PASSWORD}\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr


async def run_clients(folder: Path, url: str) -> int:
    """Return the exit code of the node program."""
    documents = folder / "trusted.json"
    documents.write_text(json.dumps({"rules": TRUSTED}))
    limited = {
        "TRUSTED_DOCUMENTS": str(documents),
        "RATE_LIMIT_QUERIES": str(QUERIES_PER_MINUTE),
    }
    async with (
        serving(folder / "open", url) as server,
        serving(folder / "trusted", url, **limited) as trusted,
    ):
        installed = asyncio.create_task(asyncio.to_thread(install))
        await server.ready()
        await asyncio.to_thread(create_owner, folder, url)
        await trusted.ready()
        await installed
        services = {
            "url": f"{server.address}/graphql",
            "trusted": f"{trusted.address}/graphql",
            "queriesPerMinute": QUERIES_PER_MINUTE,
            "origin": ORIGIN,
            "email": EMAIL,
            "password": PASSWORD,
        }
        command = ["node", str(HERE / "clients.mjs"), json.dumps(services)]
        ran = await asyncio.to_thread(subprocess.run, command, check=False)
    return ran.returncode


async def unexpected_rows(url: str) -> list[str]:
    connection = await asyncpg.connect(dsn(url))
    try:
        teams = [tuple(row) for row in await connection.fetch(TEAMS)]
        sessions = await connection.fetchval("SELECT count(*) FROM organiser_session")
        taken = await connection.fetchval("SELECT taken FROM tournament")
    finally:
        await connection.close()
    compared = {
        "teams": (teams, EXPECTED_TEAMS),
        "sessions": (sessions, EXPECTED_SESSIONS),
        "places taken": (taken, len(EXPECTED_TEAMS)),
    }
    return [
        f"FAILED {name}: {actual}, not {expected}"
        for name, (actual, expected) in compared.items()
        if actual != expected
    ]


async def main() -> int:
    if shutil.which("npm") is None or shutil.which("node") is None:
        print("NOT RUN: there is no node with npm here, so no real client was tried.")
        return 0
    with tempfile.TemporaryDirectory(prefix="icct26-clients-") as name:
        folder = Path(name)
        with EmbeddedPostgres(folder / "database") as embedded:
            url = embedded.connected_url("icct26")
            failed = await run_clients(folder, url)
            wrong = await unexpected_rows(url)
    print(*(wrong or ["The rows are those that the clients should leave."]), sep="\n")
    return 1 if failed or wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
