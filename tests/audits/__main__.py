"""GraphQL over HTTP as its audit suite has it, with settings of development and of production.

Run by `make check`: needs node and npm, and says so when they are not here.
"""

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from persistence.embedded.server import EmbeddedPostgres
from tests.server_processes import ServerProcess

HERE = Path(__file__).parent
AUDITS = 61
SETTINGS = {
    "development": {"ENVIRONMENT": "development"},
    "production": {
        "ENVIRONMENT": "production",
        "ALLOWED_HOSTS": "127.0.0.1",
        "TRUSTED_PROXIES": "none",
        "SECRET_KEY": "a secret of the audits, long enough to be taken",
        "REQUIRED_DOCUMENTS": "none",
    },
}


def install() -> bool:
    """False when there is nothing to install with."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        return False
    subprocess.run([npm, "ci", "--silent", "--prefix", str(HERE)], check=True, cwd=HERE)
    return True


async def audit(name: str, folder: Path, url: str) -> int:
    """Count the audits that a server with these settings does not pass."""
    variables = SETTINGS[name] | {"DATA_DIR": str(folder / "data"), "DATABASE_URL": url}
    server = ServerProcess(folder / name, variables)
    try:
        await server.start()
        command = ["node", str(HERE / "audit.mjs"), f"{server.address}/graphql"]
        ran = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, check=True
        )
    finally:
        server.clean_up()
    result = json.loads(ran.stdout)
    for one in result["failures"]:
        print(f"FAILED {name}: {one['id']} {one['name']}: {one['reason']}")
    failed = len(result["failures"])
    print(f"{name}: {result['count'] - failed} of {AUDITS} audits are ok.")
    return failed + abs(result["count"] - AUDITS)


async def main() -> int:
    if not install():
        print("NOT RUN: there is no node with npm here, so GraphQL over HTTP was not audited.")
        return 0
    with tempfile.TemporaryDirectory(prefix="icct26-audits-") as name:
        folder = Path(name)
        with EmbeddedPostgres(folder / "database") as embedded:
            url = embedded.connected_url("icct26")
            failed = [await audit(one, folder, url) for one in SETTINGS]
    return 1 if sum(failed) else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
