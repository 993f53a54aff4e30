"""All teams as a file: `python benchmarks/exports.py --help`.

Prints how much memory each kind of file added to the server, how long it took, and whether it
opens. Ends with 1 when a bar is missed.
"""

import argparse
import asyncio
import csv
import io
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import httpx

# Started as a script, Python looks for modules only beside it.
sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.harness import connect
from benchmarks.seed import seed_teams
from benchmarks.servers import ROOT, ServerProcess, our_server
from persistence.embedded.server import EmbeddedPostgres

ADDED_BAR_MB = 60
EMAIL, PASSWORD = "owner@church.example", "correct horse battery"
TAMIL = "ஆனந்த்"
SIGN_IN = "mutation S($input: SignInInput!) { signIn(input: $input) { token } }"
EXPORT = "mutation E($input: ExportTeamsInput!) { exportTeams(input: $input) { url } }"


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--teams", type=int, default=10_000, help="of 15 players (10000)")
    return parser.parse_args()


async def ask(client: httpx.AsyncClient, query: str, wanted: dict[str, str]) -> dict[str, str]:
    answer = await client.post("/graphql", json={"query": query, "variables": {"input": wanted}})
    (payload,) = answer.json()["data"].values()
    return dict(payload)


async def download(client: httpx.AsyncClient, kind: str, target: Path) -> float:
    """Seconds."""
    url = (await ask(client, EXPORT, {"format": kind}))["url"]
    began = time.perf_counter()
    async with client.stream("GET", url) as answer:
        answer.raise_for_status()
        with target.open("wb") as file:
            async for chunk in answer.aiter_bytes():
                file.write(chunk)
    return time.perf_counter() - began


def players_in(path: Path) -> tuple[int, bool]:
    """How many players the file has, and whether one of them is written in Tamil."""
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
        sys.exit("The organiser could not be made.")


async def measure(server: ServerProcess, folder: Path, teams: int) -> list[str]:
    missed = []
    address = f"http://127.0.0.1:{server.port}"
    async with httpx.AsyncClient(base_url=address, timeout=600) as client:
        token = (await ask(client, SIGN_IN, {"email": EMAIL, "password": PASSWORD}))["token"]
        client.headers["Authorization"] = f"Bearer {token}"
        for kind in ("CSV", "XLSX"):
            path = folder / f"teams.{kind.lower()}"
            server.forget_peak()
            before = server.resident_mb()
            seconds = await download(client, kind, path)
            added = server.peak_mb() - before
            found, has_tamil = players_in(path)
            print(
                f"{kind}: {found} players, {path.stat().st_size / 1e6:.1f} MB in {seconds:.1f} s;"
                f" {before:.0f} MB resident before, {added:.0f} MB more at most"
                f" (bar {ADDED_BAR_MB})."
            )
            if added >= ADDED_BAR_MB:
                missed.append(f"{kind} added {added:.0f} MB.")
            if found != teams * 15 or not has_tamil:
                missed.append(f"{kind} has {found} players, Tamil names: {has_tamil}.")
    return missed


async def fill_database(url: str, teams: int) -> None:
    async with connect(url) as connection:
        await seed_teams(connection, teams)


def main() -> int:
    given = options()
    with tempfile.TemporaryDirectory(prefix="icct26-exports-") as name:
        folder = Path(name)
        with EmbeddedPostgres(folder / "database") as embedded:
            url = embedded.connected_url("icct26")
            with our_server(url, folder) as server:
                asyncio.run(fill_database(url, given.teams))
                asyncio.run(create_owner(url, folder))
                missed = asyncio.run(measure(server, folder, given.teams))
    print("\n".join(f"FAILED: {one}" for one in missed) or "All bars hold.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
