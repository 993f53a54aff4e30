import shutil
import subprocess
from pathlib import Path

from schema.sdl import breaking_changes, print_sdl

ROOT = Path(__file__).parents[2]
SNAPSHOT = "schema/schema.graphql"


def git(*arguments: str) -> str | None:
    """Return git's output; None without git, a repository or the object."""
    program = shutil.which("git")
    if program is None:
        return None
    run = subprocess.run(
        [program, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return run.stdout if run.returncode == 0 else None


def published() -> str:
    """Return the schema of the last release, otherwise of the last commit."""
    tag = git("describe", "--tags", "--abbrev=0")
    found = git("show", f"{tag.strip() if tag else 'HEAD'}:{SNAPSHOT}")
    return found or (ROOT / SNAPSHOT).read_text()


def test_snapshot_is_the_schema():
    assert (ROOT / SNAPSHOT).read_text() == print_sdl()


def test_schema_has_no_breaking_changes():
    assert breaking_changes(published()) == []


def test_removed_field_is_a_breaking_change():
    old = print_sdl().replace(
        "type Church implements Node {", "type Church implements Node {\n  pastor: String", 1
    )

    assert breaking_changes(old) == ["Field Church.pastor was removed."]


def test_new_required_argument_is_a_breaking_change():
    current = "registerTeam("
    before, _, rest = print_sdl().partition(current)
    _, _, after = rest.partition(")")
    old = f"{before}registerTeam{after}"

    assert breaking_changes(old) == ["A required argument Mutation.registerTeam(input:) was added."]


def test_new_value_or_field_is_no_breaking_change():
    old = print_sdl()
    for newer in ("  SUBSCRIPTION_CARD\n", "  nodes: [Church!]!\n"):
        before, _, after = old.partition(newer)
        described = before.rpartition('  """')[0].rpartition('  """')[0]
        old = described + after

    assert breaking_changes(old) == []
    assert "\n  SUBSCRIPTION_CARD\n" not in old
