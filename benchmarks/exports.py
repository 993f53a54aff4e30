"""Measure the export of all teams: `python benchmarks/exports.py --help`.

Prints the memory that each file format added to the server, the time it took, and the number of
players in the file. The CSV is compared with PostgreSQL's `COPY … TO STDOUT` of the same columns.
Exits with 1 if a bar is missed.
"""

import argparse
import asyncio
import csv
import io
import statistics
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import httpx

# A script has only its own folder on sys.path, not the project's.
sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.harness import connect
from benchmarks.seed import seed_teams
from benchmarks.servers import ROOT, ServerProcess, our_server
from persistence.embedded.server import EmbeddedPostgres

ADDED_BAR_MB = 60
# The time of the CSV divided by that of COPY.
COPY_BAR = 4
COPY_ROUNDS = 3
COPY = """
    SELECT t.code, t.name, c.name, t.status,
           to_char(t.registered_at AT TIME ZONE s.time_zone, 'YYYY-MM-DD HH24:MI:SS'),
           t.captain_name, t.captain_phone, t.captain_whatsapp, t.captain_email,
           t.vice_captain_name, t.vice_captain_phone, t.vice_captain_whatsapp,
           t.vice_captain_email, (SELECT count(*) FROM player q WHERE q.team_id = t.id),
           t.code || '-P' || lpad(p.position::text, 2, '0'), p.name, p.role, p.jersey_number,
           p.date_of_birth
    FROM team t JOIN church c ON c.id = t.church_id JOIN tournament s ON s.id = t.tournament_id
    JOIN player p ON p.team_id = t.id
    WHERE s.is_active ORDER BY length(t.code), t.code, p.position
"""
EMAIL, PASSWORD = "owner@church.example", "correct horse battery"
TAMIL = "ஆனந்த்"
SIGN_IN = "mutation S($input: SignInInput!) { signIn(input: $input) { token } }"
EXPORT = "mutation E($input: ExportTeamsInput!) { exportTeams(input: $input) { url } }"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--teams", type=int, default=10_000, help="teams of 15 players (10,000)")
    return parser.parse_args()


async def ask(client: httpx.AsyncClient, query: str, variables: dict[str, str]) -> dict[str, str]:
    answer = await client.post("/graphql", json={"query": query, "variables": {"input": variables}})
    (payload,) = answer.json()["data"].values()
    return dict(payload)


async def download(client: httpx.AsyncClient, kind: str, target: Path) -> float:
    """Download the export to `target`; return the seconds it took."""
    url = (await ask(client, EXPORT, {"format": kind}))["url"]
    started_at = time.perf_counter()
    async with client.stream("GET", url) as answer:
        answer.raise_for_status()
        with target.open("wb") as file:
            async for chunk in answer.aiter_bytes():
                file.write(chunk)
    return time.perf_counter() - started_at


def players_in(path: Path) -> tuple[int, bool]:
    """Return the number of players in the file, and whether a name in Tamil is among them."""
    if path.suffix == ".csv":
        rows = list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"))))
        return len(rows), any(TAMIL in row["Player"] for row in rows)
    with zipfile.ZipFile(path) as book:
        sheet = book.read("xl/worksheets/sheet2.xml").decode()
    return sheet.count("<row ") - 1, TAMIL in sheet


async def create_owner(url: str, folder: Path) -> None:
    command = ["create-organiser", "--email", EMAIL, "--role", "OWNER", "--password-stdin"]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / "cli.py"),
        *command,
        stdin=asyncio.subprocess.PIPE,
        env={"DATABASE_URL": url, "DATA_DIR": str(folder / "data")},
    )
    await process.communicate(f"{PASSWORD}\n".encode())
    if process.returncode:
        sys.exit("Could not create the organiser.")


async def copy_seconds(url: str, target: Path) -> float:
    """Return the seconds that `COPY` of the same columns takes."""
    async with connect(url) as connection:
        started_at = time.perf_counter()
        await connection.copy_from_query(COPY, output=str(target), format="csv", header=True)
        return time.perf_counter() - started_at


async def compare_with_copy(client: httpx.AsyncClient, url: str, folder: Path) -> list[str]:
    """Take turns with COPY, and describe the bar if it is missed."""
    ratios = []
    for _ in range(COPY_ROUNDS):
        ours = await download(client, "CSV", folder / "ours.csv")
        ratios.append(ours / await copy_seconds(url, folder / "copy.csv"))
    ratio = statistics.median(ratios)
    print(f"X: the CSV takes {ratio:.1f} times as long as COPY (bar {COPY_BAR}).")
    return [f"The CSV takes {ratio:.1f} times as long as COPY."] if ratio > COPY_BAR else []


async def measure(server: ServerProcess, url: str, folder: Path, teams: int) -> list[str]:
    missed = []
    address = f"http://127.0.0.1:{server.port}"
    async with httpx.AsyncClient(base_url=address, timeout=600) as client:
        token = (await ask(client, SIGN_IN, {"email": EMAIL, "password": PASSWORD}))["token"]
        client.headers["Authorization"] = f"Bearer {token}"
        for kind in ("CSV", "XLSX"):
            path = folder / f"teams.{kind.lower()}"
            server.reset_peak()
            before = server.resident_mb()
            seconds = await download(client, kind, path)
            added = server.peak_mb() - before
            players, has_tamil = players_in(path)
            print(
                f"{kind}: {players} players, {path.stat().st_size / 1e6:.1f} MB in {seconds:.1f} s;"
                f" {before:.0f} MB resident before, {added:.0f} MB more at most"
                f" (bar {ADDED_BAR_MB})."
            )
            if added >= ADDED_BAR_MB:
                missed.append(f"{kind} added {added:.0f} MB.")
            if players != teams * 15 or not has_tamil:
                missed.append(f"{kind} has {players} players, Tamil names: {has_tamil}.")
        missed += await compare_with_copy(client, url, folder)
    return missed


async def fill_database(url: str, teams: int) -> None:
    async with connect(url) as connection:
        await seed_teams(connection, teams)


def main() -> int:
    args = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="icct26-exports-") as name:
        folder = Path(name)
        with EmbeddedPostgres(folder / "database") as embedded:
            url = embedded.connected_url("icct26")
            with our_server(url, folder) as server:
                asyncio.run(fill_database(url, args.teams))
                asyncio.run(create_owner(url, folder))
                missed = asyncio.run(measure(server, url, folder, args.teams))
    print("\n".join(f"FAILED: {failure}" for failure in missed) or "All bars hold.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
