"""The command line: `python cli.py --help`."""

import gc
import signal
import sys

if __name__ == "__main__":
    # Imports create many objects that stay, so collections in between would only cost time.
    gc.disable()
    # Ctrl-C during the imports ends the process without a traceback.
    signal.signal(signal.SIGINT, lambda *_: sys.exit(128 + signal.SIGINT))

import observability.without_rich  # noqa: F401 - before structlog

# isort: split

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, Protocol, TypeVar

import typer

from domain.auth.roles import SYSTEM, Role
from domain.errors.base import DomainError
from persistence.embedded.errors import EmbeddedPostgresError
from persistence.embedded.server import EmbeddedPostgres
from persistence.embedded.supervision import running_server
from settings import (
    Settings,
    SettingsError,
    configure_logging_from,
    env_example,
    load_settings,
    settings_reference,
)

if TYPE_CHECKING:
    from resolvers.documents.stored_files import Comparison
    from resolvers.services import Services

ROOT = Path(__file__).parent

T = TypeVar("T")
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input.")
]

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)


@app.callback()
def main() -> None:
    """The ICCT26 registration service."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Commands without a handler of their own still run their cleanup, which stops the database.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    # The same when the terminal closes, unless nohup ignores SIGHUP.
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))


@app.command()
def serve() -> None:
    """Prepare the database and run the server until SIGINT or SIGTERM."""
    settings = read_settings()
    with database(settings) as prepared:
        import runner

        try:
            runner.serve(settings, prepared.url, prepared.embedded)
        except runner.StartupError as error:
            fail(str(error))
    from resilience.shutdown_deadline import exit_despite_threads

    exit_despite_threads()


@app.command()
def migrate() -> None:
    """Migrate the database, and create the tournament in an empty one."""
    with database(read_settings()):
        print("The database is up to date.")


@app.command(name="seed-demo")
def seed_demo(
    teams: Annotated[int, typer.Option(min=1, help="Number of teams to add.")] = 12,
) -> None:
    """Add realistic demo teams, the same at every run.

    The tournament gets room for them and 16 more, with any number of teams of one church, and
    requires no documents.
    """
    settings = read_settings()
    if settings.environment == "production":
        fail("Demo teams are not for ENVIRONMENT=production: they change the tournament.")
    with service_runner(settings) as run:
        from resolvers.registration import demo

        added = run(partial(demo.seed_demo, teams=teams))
    print(f"{added} teams were added.")


@app.command()
def schema(
    check: Annotated[
        bool, typer.Option(help="Fail if the snapshot is out of date; write nothing.")
    ] = False,
) -> None:
    """Write schema/schema.graphql."""
    from schema.sdl import print_sdl

    write_or_check({ROOT / "schema" / "schema.graphql": print_sdl()}, check=check)


@app.command()
def docs(
    check: Annotated[
        bool, typer.Option(help="Fail if a page is out of date; write nothing.")
    ] = False,
) -> None:
    """Write the generated reference pages: settings, error codes, idempotency."""
    from schema.error_docs import error_reference, error_schema
    from schema.idempotency import repeats_reference

    reference = ROOT / "docs" / "reference"
    pages = {
        ROOT / ".env.example": env_example(),
        reference / "settings.md": settings_reference(),
        reference / "errors.md": error_reference(),
        reference / "error.schema.json": error_schema(),
        reference / "repeats.md": repeats_reference(),
    }
    write_or_check(pages, check=check)


@app.command()
def doctor() -> None:
    """Check the settings, the database, the document stores and the counts of taken slots."""
    with service_runner(read_settings()) as run:
        from resolvers.operations import maintenance

        diagnosis = run(maintenance.diagnose)
    for drift in diagnosis.drift:
        print(
            f"{drift.entity}: {drift.taken} slots are taken, but {drift.live_teams} teams are live."
        )
    differences = [line for entry in diagnosis.comparisons for line in difference_lines(entry)]
    for line in differences:
        print(line)
    for line in filter(None, map(foreign_files_line, diagnosis.comparisons)):
        print(line)
    for table, count in diagnosis.old_names.items():
        print(
            f"{table}: {count} names still contain invisible characters in their comparison form."
            " `prune` corrects them, unless another row already has the corrected name; for"
            " churches use mergeChurches."
        )
    for store in diagnosis.unavailable_stores:
        print(f"The document store {store} does not work. Check its settings.")
    if diagnosis.drift or diagnosis.unavailable_stores or differences:
        fail("There are problems.")
    print("The settings are valid, the database answers, its schema and counts are up to date.")
    print(f"New documents are stored in: {diagnosis.store}.")


@app.command()
def prune(
    force: Annotated[
        bool,
        typer.Option("--force", help="Delete files without a document even if there are many."),
    ] = False,
) -> None:
    """Delete expired data, and files without a document. Safe to repeat."""
    with service_runner(read_settings()) as run:
        from resolvers.documents import stored_files
        from resolvers.operations import maintenance

        pruned = run(maintenance.prune)
        results = run(partial(stored_files.clean_up_all, is_forced=force))
    orphans = sum(result.deleted for result in results)
    print(
        f"Deleted: {pruned.idempotency_records} idempotency records,"
        f" {pruned.unclaimed_uploads} unclaimed uploads, {pruned.expired_documents} expired"
        f" documents, {pruned.partial_uploads} partial uploads, {pruned.credentials} expired"
        f" sessions and API tokens, {pruned.outbox_messages} delivered outbox messages,"
        f" {orphans + pruned.unfinished_files} files without a document."
        f" Normalized again: {pruned.normalized_names} names."
    )
    warnings = [
        f"{result.store}: {result.left} of {result.own} files have no document and were not"
        " deleted. If this is the current database, and no other database uses these files, delete"
        " them with `prune --force`."
        for result in results
        if result.left
    ]
    if warnings:
        fail("\n".join(warnings))


@app.command(name="create-organiser")
def create_organiser(
    email: Annotated[str, typer.Option(help="E-mail to sign in with.")],
    role: Annotated[Role, typer.Option(case_sensitive=False, help="Role of the organiser.")],
    password_stdin: PasswordStdin = False,
) -> None:
    """Create an organiser who can sign in immediately."""
    password = read_password(from_stdin=password_stdin)
    with service_runner(read_settings()) as run:
        from resolvers.accounts import organisers

        create = partial(
            organisers.create, caller=SYSTEM, email=email, role=role, password=password
        )
        organiser = run(create)
    print(f"{organiser.email} can sign in as {organiser.role}.")


@app.command(name="reset-password")
def reset_password(
    email: Annotated[str, typer.Option(help="E-mail of the organiser.")],
    password_stdin: PasswordStdin = False,
    disable_totp: Annotated[
        bool, typer.Option("--disable-totp", help="Also disable the second factor.")
    ] = False,
) -> None:
    """Set a new password for an organiser; end their sessions and API tokens."""
    password = read_password(from_stdin=password_stdin)
    with service_runner(read_settings()) as run:
        from resolvers.accounts import organisers

        reset = partial(
            organisers.reset_password,
            caller=SYSTEM,
            email=email,
            password=password,
            keep_totp=not disable_totp,
        )
        ended = run(reset)
    print(
        f"The password is changed. {ended.sessions} sessions and {ended.api_tokens} API tokens"
        " have ended."
    )


@app.command()
def worker() -> None:
    """Deliver outbox messages until SIGINT or SIGTERM, in addition to any servers."""
    with service_runner(read_settings()) as run:
        import runner

        run(runner.run_outbox_worker)


def difference_lines(comparison: "Comparison") -> Iterator[str]:
    """Lines about differences between the files of a store and the documents of the database."""
    store = comparison.store
    if comparison.orphans:
        yield f"{store}: {len(comparison.orphans)} files have no document. `prune` deletes them."
    if comparison.misplaced or comparison.duplicates:
        count = len(comparison.misplaced) + len(comparison.duplicates)
        yield f"{store}: {count} files are in the wrong folder. `prune` corrects this."
    for document_id in comparison.missing:
        yield f"{store}: the file of document {document_id.hex} is missing. Request it again."


def foreign_files_line(comparison: "Comparison") -> str:
    """A line about files that `prune` does not delete; empty without such files."""
    if not comparison.foreign:
        return ""
    return (
        f"{comparison.store}: {comparison.foreign} files have no document in this database and may"
        " belong to another one. `prune` does not delete them."
    )


def read_settings() -> Settings:
    try:
        settings = load_settings()
    except SettingsError as error:
        fail(str(error))
    configure_logging_from(settings)
    return settings


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedDatabase:
    """A database that is ready for use; `embedded` is None if DATABASE_URL is set."""

    url: str
    embedded: EmbeddedPostgres | None = None


@contextmanager
def database(settings: Settings) -> Iterator[PreparedDatabase]:
    """Start or connect to the database, migrate it, and import the service meanwhile."""
    if settings.sqlalchemy_url is not None:
        import_service()
        prepare(settings, settings.sqlalchemy_url)
        yield PreparedDatabase(url=settings.sqlalchemy_url)
        return
    embedded = EmbeddedPostgres(settings.data_dir)
    try:
        with running_server(embedded, meanwhile=import_service) as url:
            prepare(settings, url)
            yield PreparedDatabase(url=url, embedded=embedded)
    except EmbeddedPostgresError as error:
        fail(f"DATA_DIR: {error}")


def import_service() -> None:
    """Import the service, then enable the garbage collector for all objects created later."""
    import_module("runner")
    gc.freeze()
    gc.enable()


def prepare(settings: Settings, url: str) -> None:
    import bootstrap

    try:
        bootstrap.prepare(settings, url)
    except bootstrap.DatabaseSetupError as error:
        fail(str(error))


class ServiceRunner(Protocol):
    def __call__(self, work: "Callable[[Services], Awaitable[T]]", /) -> T: ...


@contextmanager
def service_runner(settings: Settings) -> Iterator[ServiceRunner]:
    """A function that runs work with services; a DomainError ends the command with its message."""
    with database(settings) as prepared:
        import bootstrap

        try:
            yield partial(bootstrap.run_with_services, settings, prepared.url)
        except DomainError as error:
            fail(" ".join(issue.message for issue in error.issues) or error.message)


def read_password(*, from_stdin: bool) -> str:
    """The first line of standard input, or the password typed twice at a prompt."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    password: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    return password


def write_or_check(pages: dict[Path, str], *, check: bool) -> None:
    """Write the pages that differ. With `check`, exit with 1 and name them instead."""
    stale = [
        page
        for page, content in pages.items()
        if not page.exists() or page.read_text(encoding="utf-8") != content
    ]
    if check and stale:
        fail("Out of date: " + ", ".join(str(page.relative_to(ROOT)) for page in stale))
    for page in stale:
        page.write_text(pages[page], encoding="utf-8")


def fail(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    raise typer.Exit(1)


if __name__ == "__main__":
    app()
