"""The command line: `python cli.py --help`."""

import gc
import signal
import sys

if __name__ == "__main__":
    # The collector would look through all that is imported, again and again, and it stays anyway.
    gc.disable()
    # Ctrl-C in the middle of an import is no failure of it.
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
from persistence.embedded.server import EmbeddedPostgres, EmbeddedPostgresError
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
    # Unless a server listens for it, it must end the process with what the process has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    # As does a terminal that is closed, but for what nohup started.
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))


@app.command()
def serve() -> None:
    """Prepare the database and serve until SIGINT or SIGTERM."""
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
    """Bring the database to the newest schema and give an empty one its tournament."""
    with database(read_settings()):
        print("The database is current.")


@app.command(name="seed-demo")
def seed_demo(
    teams: Annotated[int, typer.Option(min=1, help="How many teams to add.")] = 12,
) -> None:
    """Add believable teams, always the same ones. The season gets room for them and 16 more, takes
    any number of teams from one church, and asks for no documents.
    """
    settings = read_settings()
    if settings.environment == "production":
        fail("Demo teams are not for ENVIRONMENT=production: they change the rules of its season.")
    with service_runner(settings) as run:
        from resolvers.registration import demo

        added = run(partial(demo.seed_demo, teams=teams))
    print(f"{added} teams were added.")


@app.command()
def schema(
    check: Annotated[bool, typer.Option(help="Only say whether the snapshot is current.")] = False,
) -> None:
    """Write schema/schema.graphql."""
    from schema.sdl import print_sdl

    write_or_check({ROOT / "schema" / "schema.graphql": print_sdl()}, check=check)


@app.command()
def docs(
    check: Annotated[bool, typer.Option(help="Only say whether the pages are current.")] = False,
) -> None:
    """Write the generated pages: settings, error codes, repeats."""
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
    """Say whether the settings are right, database and storage answer and the counts agree."""
    with service_runner(read_settings()) as run:
        from resolvers.operations import maintenance

        found = run(maintenance.diagnose)
    for entry in found.drift:
        print(f"{entry.entity}: {entry.taken} places are taken, {entry.live_teams} teams are live.")
    differences = [line for entry in found.comparisons for line in difference_lines(entry)]
    for line in differences:
        print(line)
    for line in filter(None, map(foreign_files_line, found.comparisons)):
        print(line)
    for table, count in found.old_names.items():
        print(
            f"{table}: {count} names are compared with characters that show nothing. If prune"
            " leaves them, another one has the name without; mergeChurches makes churches one."
        )
    for store in found.stores_away:
        print(f"The storage of documents, {store}, does not work. Check its settings.")
    if found.drift or found.stores_away or differences:
        fail("Something is not as it should be.")
    print("The settings are right, the database answers, its schema and its counts are current.")
    print(f"Documents are kept in: {found.store}.")


@app.command()
def prune(
    force: Annotated[
        bool, typer.Option("--force", help="Delete files without a document, however many.")
    ] = False,
) -> None:
    """Delete what has expired, and files that belong to no document. Safe to repeat."""
    with service_runner(read_settings()) as run:
        from resolvers.documents import stored_files
        from resolvers.operations import maintenance

        gone = run(maintenance.prune)
        cleared = run(partial(stored_files.clean_up_all, is_forced=force))
    orphans = sum(entry.deleted for entry in cleared)
    print(
        f"{gone.idempotency_records} idempotency records, {gone.unclaimed_uploads} unclaimed"
        f" uploads, {gone.expired_documents} expired documents, {gone.partial_uploads} partial"
        f" uploads and {gone.credentials} expired sessions and API tokens were deleted,"
        f" and {orphans + gone.unfinished_files} files that belong to no document."
        f" {gone.normalized_names} names were normalised anew."
    )
    refusals = [
        f"{entry.store}: {entry.left} of {entry.own} files belong to no document and were left."
        " Is this the newest database, and the only one with these files? Then `prune --force`"
        " deletes them."
        for entry in cleared
        if entry.left
    ]
    if refusals:
        fail("\n".join(refusals))


@app.command(name="create-organiser")
def create_organiser(
    email: Annotated[str, typer.Option(help="What the organiser signs in with.")],
    role: Annotated[Role, typer.Option(case_sensitive=False, help="What they may do.")],
    password_stdin: PasswordStdin = False,
) -> None:
    """Add an organiser who can sign in at once."""
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
    email: Annotated[str, typer.Option(help="The organiser's.")],
    password_stdin: PasswordStdin = False,
    disable_totp: Annotated[
        bool, typer.Option("--disable-totp", help="Also turn the second factor off.")
    ] = False,
) -> None:
    """Give an organiser another password; sessions and API tokens of theirs end."""
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
    """Carry out what is owed to the outside until SIGINT or SIGTERM, beside any servers."""
    with service_runner(read_settings()) as run:
        import runner

        run(runner.run_outbox_worker)


def difference_lines(found: "Comparison") -> Iterator[str]:
    """Lines about a store whose files are not those of the rows."""
    store = found.store
    if found.orphans:
        yield f"{store}: {len(found.orphans)} files belong to no document. `prune` deletes them."
    if found.misplaced or found.duplicates:
        count = len(found.misplaced) + len(found.duplicates)
        yield f"{store}: {count} files are in another folder than expected. `prune` corrects that."
    for document_id in found.missing:
        yield f"{store}: the file of document {document_id.hex} is missing. Ask for it again."


def foreign_files_line(found: "Comparison") -> str:
    """A line about files that `prune` leaves, empty without any."""
    if not found.foreign:
        return ""
    return (
        f"{found.store}: {found.foreign} files are of other databases or of before, and belong to"
        " no document of this one. `prune` leaves them."
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
    """A database that answers; `embedded` is None where DATABASE_URL names it."""

    url: str
    embedded: EmbeddedPostgres | None = None


@contextmanager
def database(settings: Settings) -> Iterator[PreparedDatabase]:
    """A database with the current schema and a tournament, and all of the service imported."""
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
        fail(f"The embedded PostgreSQL under DATA_DIR did not start: {error}")


def import_service() -> None:
    """Most of a start. From then on the collector runs, and leaves alone what is there by now."""
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
    """For work with all of the service; what a rule refuses is said in its own words."""
    with database(settings) as prepared:
        import bootstrap

        try:
            yield partial(bootstrap.run_with_services, settings, prepared.url)
        except DomainError as error:
            fail(" ".join(issue.message for issue in error.issues) or error.message)


def read_password(*, from_stdin: bool) -> str:
    """The first line of standard input, or what is typed in twice."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    password: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    return password


def write_or_check(pages: dict[Path, str], *, check: bool) -> None:
    """Write what differs, or with `check` name it and exit with 1."""
    stale = [
        page
        for page, content in pages.items()
        if not page.exists() or page.read_text(encoding="utf-8") != content
    ]
    if check and stale:
        fail("Not current: " + ", ".join(str(page.relative_to(ROOT)) for page in stale))
    for page in stale:
        page.write_text(pages[page], encoding="utf-8")


def fail(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    raise typer.Exit(1)


if __name__ == "__main__":
    app()
