"""Rules for the project as a whole: sizes, names, links, words, commands."""

import ast
import io
import os
import re
import tokenize
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import cli
from domain.errors.codes import ErrorCode
from domain.errors.issue_codes import IssueCode

ROOT = Path(__file__).parents[1]
MAX_MODULE_LINES = 500
MAX_FUNCTION_LINES = 50
MAX_PACKAGE_MODULES = 16
LARGE_PACKAGES = ("schema", "resolvers", "persistence", "web", "resilience")
COMPILED = [f"schema/compiled/{path.name}" for path in ROOT.glob("schema/compiled/*.py")]
# The other modules of schema/compiled are imported only by each other.
ENTRY_POINTS = {"schema/compiled/executor.py", "schema/compiled/sql_json.py"}
FAST = [f"persistence/fast/{name}.py" for name in ("json_rendering", "statement_pool", "batching")]
# Raw SQL is normal there: hot statements, migrations, and conditions and defaults of tables.
RAW_SQL_FOLDERS = ("persistence/fast/", "persistence/migrations/", "persistence/models/")
MAX_RAW_STATEMENTS = 10
NO_CODE = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT),
    tokenize.ENDMARKER,
}
NAMELESS_FOLDERS = {"utils", "util", "common", "helpers", "misc", "core"}
MADE_BY_TOOLS = {"__pycache__", "data", "node_modules", "htmlcov"}
# Written by a tool, and about other people's packages.
LOCKS = {"requirements.lock"}
TEXT = {".py", ".md", ".toml", ".graphql", ".json", ".mako", ".example", ".js", ".mjs", ".ts", ""}

# In two parts, so that this file holds none of them.
REGISTRIES = (
    "py" + "pi.org",
    "python" + "hosted.org",
    "npm" + "js.",
    "crates" + ".io",
    "docker" + ".io",
    "gh" + "cr.io",
)
MACHINE_PATHS = ("/wo" + "rk/", "/ro" + "ot/", "/ho" + "me/", "/Us" + "ers/")
LEFT_OVER = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX)\b")
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
CODE_BLOCK = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
DOCUMENTED_PATH = re.compile(
    r"(?:`|python )((?:\.?[\w-]+/)*[\w.-]+\.(?:py|mjs)|(?:\.?[\w-]+/)+)(?=[`\s])"
)
# Pages about the past may name files that no longer exist.
HISTORIES = {"CHANGELOG.md", "RESULTS.md"}
CLI_COMMAND = re.compile(r"\bcli\.py ([a-z][a-z-]+)")
# A docstring says what the code does: an imperative, or a noun phrase.
QUESTION_WORD = re.compile(r"(?:What|Whatever|Who|Whoever|Where|When|Why|How)\b")


def files() -> Iterator[Path]:
    """Files of the project, without those that tools and runs have made."""
    for folder, subfolders, names in os.walk(ROOT):
        subfolders[:] = [name for name in subfolders if is_ours(name)]
        yield from (Path(folder, name) for name in names)


def is_ours(folder: str) -> bool:
    return folder == ".ci" or not (folder.startswith(".") or folder in MADE_BY_TOOLS)


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def text_files() -> list[Path]:
    return [
        path
        for path in files()
        if path.suffix in TEXT and path.name not in LOCKS | {".env", ".coverage", ".git"}
    ]


MODULES = sorted(path for path in files() if path.suffix == ".py")
PAGES = sorted(path for path in files() if path.suffix == ".md")


def containing(words: tuple[str, ...]) -> list[str]:
    texts = ((path, path.read_text(encoding="utf-8").lower()) for path in text_files())
    return [
        f"{relative(path)}: {word}"
        for path, text in texts
        for word in words
        if word.lower() in text
    ]


def anchors(page: Path) -> set[str]:
    """The fragments under which a page's headings can be linked to."""
    headings = re.findall(r"^#+ (.+)$", CODE_BLOCK.sub("", page.read_text()), re.MULTILINE)
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in kept}


def make_targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text()
    return set(re.findall(r"^([a-z][a-z0-9-]*):", makefile, re.MULTILINE))


def test_no_module_of_the_program_is_longer_than_500_lines():
    program = [path for path in MODULES if not relative(path).startswith("tests/")]
    lengths = {relative(path): len(path.read_text().splitlines()) for path in program}

    assert {path: n for path, n in lengths.items() if n > MAX_MODULE_LINES} == {}


def test_fast_paths_have_at_most_1000_lines_of_code():
    lines = sum(len(lines_of_code((ROOT / path).read_text())) for path in COMPILED + FAST)

    assert lines <= 1000


def test_compiled_package_is_imported_through_its_entry_points():
    hidden = "|".join(Path(path).stem for path in {*COMPILED} - ENTRY_POINTS)
    importing = {
        relative(path)
        for path in MODULES
        if not relative(path).startswith("tests/")
        and re.search(rf"^from schema\.compiled\.({hidden}) ", path.read_text(), re.MULTILINE)
    }

    assert importing - {*COMPILED} == set()


def raw_statements() -> Iterator[tuple[Path, int]]:
    """Paths and line numbers of `text()` in persistence, outside RAW_SQL_FOLDERS."""
    for path in MODULES:
        name = relative(path)
        if not name.startswith("persistence/") or name.startswith(RAW_SQL_FOLDERS):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "text":
                yield path, node.lineno


def commented_lines(path: Path) -> set[int]:
    """The numbers of lines with a comment that is more than a directive for a linter."""
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
    return {
        token.start[0]
        for token in tokens
        if token.type == tokenize.COMMENT and not token.string.startswith("# noqa")
    }


def test_persistence_has_at_most_ten_raw_statements():
    statements = [f"{relative(path)}:{line}" for path, line in raw_statements()]

    assert len(statements) <= MAX_RAW_STATEMENTS, statements


def test_raw_statement_has_a_comment_that_says_why():
    """On the same line or the one above."""
    uncommented = [
        f"{relative(path)}:{line}"
        for path, line in raw_statements()
        if not {line - 1, line} & commented_lines(path)
    ]

    assert uncommented == []


def test_packages_have_at_most_16_modules():
    modules = [path.relative_to(ROOT) for path in MODULES if path.name != "__init__.py"]
    counts = {
        package: sum(path.parent == Path(package) for path in modules) for package in LARGE_PACKAGES
    }

    assert {package: n for package, n in counts.items() if n > MAX_PACKAGE_MODULES} == {}


def lines_of_code(source: str) -> set[int]:
    """The numbers of those that are not blank, comments, docstrings or imports."""
    lines = {
        number
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type not in NO_CODE
        for number in range(token.start[0], token.end[0] + 1)
    }
    for node in ast.walk(ast.parse(source)):
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if is_text or isinstance(node, ast.Import | ast.ImportFrom):
            lines -= set(range(node.lineno, (node.end_lineno or 0) + 1))
    return lines


def test_no_function_but_a_migration_is_longer_than_50_lines():
    long = [
        f"{relative(path)}: {node.name}"
        for path in MODULES
        if "/migrations/versions/" not in relative(path)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > MAX_FUNCTION_LINES
    ]

    assert long == []


def test_no_docstring_begins_with_a_question_word():
    offenders = {
        relative(path)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and QUESTION_WORD.match(ast.get_docstring(node) or "")
    }

    assert offenders == set()


def test_no_folder_has_a_name_that_says_nothing():
    folders = {part for path in files() for part in path.relative_to(ROOT).parent.parts}

    assert folders & NAMELESS_FOLDERS == set()


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_relative_links_lead_somewhere(page):
    links = LINK.findall(CODE_BLOCK.sub("", page.read_text()))
    places = [link.partition("#") for link in links if "://" not in link]

    broken = [
        f"{path}#{fragment}"
        for path, _, fragment in places
        if not (target := (page.parent / path if path else page)).exists()
        or (fragment and fragment not in anchors(target))
    ]

    assert broken == []


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name not in HISTORIES], ids=relative
)
def test_files_and_folders_named_in_the_documentation_exist(page):
    """A path may leave out its first folders."""
    existing = {f"/{relative(path)}" for path in files()}
    existing |= {f"/{relative(path.parent)}/" for path in files()}

    missing = [
        path
        for path in DOCUMENTED_PATH.findall(page.read_text())
        if not path.startswith("data/") and not any(name.endswith(f"/{path}") for name in existing)
    ]

    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_commands_of_cli_py_in_the_documentation_exist(page):
    commands = {
        command.name or command.callback.__name__.replace("_", "-")
        for command in cli.app.registered_commands
    }

    assert set(CLI_COMMAND.findall(page.read_text())) <= commands


@pytest.mark.parametrize("code", [*ErrorCode, *IssueCode], ids=str)
def test_error_code_has_a_heading(code):
    assert code.value.lower() in anchors(ROOT / "docs" / "reference" / "errors.md")


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_make_commands_of_the_documentation_exist(page):
    commands = re.findall(r"(?:^|`|\w=\w+ )make ([a-z][a-z0-9-]*)", page.read_text(), re.MULTILINE)

    assert set(commands) <= make_targets()


def test_readme_explains_every_documented_make_target():
    makefile = (ROOT / "Makefile").read_text()
    documented = set(re.findall(r"^([a-z][a-z0-9-]*):.*##", makefile, re.MULTILINE))
    checks = {"test-pg16", "coverage", "patterns", "audits", "clients", "generated"}

    explained = set(
        re.findall(r"^\| `make ([a-z0-9-]+)`", (ROOT / "README.md").read_text(), re.MULTILINE)
    )

    assert explained == documented - checks - {"setup"}


def test_readme_has_one_registration_that_a_script_can_take_out():
    readme = (ROOT / "README.md").read_text()

    starts = re.findall(r"^curl.*graphql.*$", readme, re.MULTILINE)

    assert len(starts) == 1
    assert starts[0].endswith("--data-binary @- <<'EOF'")
    assert readme.count("\nEOF\n") == 1


def test_decisions_have_the_five_headings():
    wanted = ["Context", "Decision", "Consequences", "Alternatives", "References"]
    pages = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))

    assert len(pages) >= 8
    assert {
        page.name: re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE) for page in pages
    } == {page.name: wanted for page in pages}


def test_no_file_names_a_package_registry():
    assert containing(REGISTRIES) == []


def test_no_file_names_a_path_of_one_machine():
    assert containing(MACHINE_PATHS) == []


def test_nothing_was_left_for_later():
    left = [relative(path) for path in text_files() if LEFT_OVER.search(path.read_text())]

    assert left == []


def test_requirements_with_extras_are_locked_with_them():
    """Without them pip takes the newest release, for which there is no hash."""
    locked = set(
        re.findall(
            r"^([\w.-]+(?:\[[\w,.-]+\])?)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE
        )
    )
    needed = {
        f"{requirement.name}[{','.join(sorted(requirement.extras))}]"
        for distribution in distributions()
        for requirement in map(Requirement, distribution.requires or ())
        if requirement.extras
        and (requirement.marker is None or requirement.marker.evaluate({"extra": ""}))
    }

    assert "coverage[toml]" in needed
    assert needed - locked == set()
