"""Units of work whose result GraphQL cannot represent are rolled back."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from uuid import uuid4

import pytest
from sqlalchemy import text

from domain.auth.roles import Role
from domain.documents import DocumentFormat, DocumentKind
from domain.registration.validation import validate_form
from persistence import lookups
from persistence.engine.database import Database
from persistence.engine.engine import DatabaseOptions
from persistence.engine.result_check import UnrepresentableResult, require_representable
from persistence.fast.register_team import RegistrationRows
from persistence.fast.statement_pool import CompiledStatement
from persistence.ids import new_id
from persistence.records import DocumentRecord, IdempotencyEntry
from resolvers.registration.register import insert_registration, player_records
from tests import factories
from tests.accounts import bearer_headers
from tests.graphql_client import data, error_extensions, execute
from tests.schema.teams.test_corrections import rows
from tests.schema.teams.test_decisions import register

NAIVE = datetime(2026, 11, 23)  # noqa: DTZ001


@dataclass(frozen=True)
class Record:
    value: object


@pytest.mark.parametrize(
    "value",
    [NAIVE, 2**31, -(2**31) - 1, float("nan"), float("inf"), "\ud83d", "a\udfffb"],
    ids=ascii,
)
@pytest.mark.parametrize(
    "wrap",
    [
        lambda value: value,
        Record,
        lambda value: (1, [Record((value,))]),
        lambda value: {"key": value},
        lambda value: {value: "key"},
        lambda value: frozenset({value}),
    ],
    ids=["alone", "record", "records", "value", "key", "set"],
)
def test_unrepresentable_value_is_found_at_any_depth(value, wrap):
    with pytest.raises(UnrepresentableResult):
        require_representable(wrap(value))


@pytest.mark.parametrize(
    "value",
    [None, True, 0, 2**31 - 1, -(2**31), 1.5, "ஆனந்த் 😀", b"\xff", datetime.now(UTC), Record([])],
)
def test_representable_values_are_accepted(value):
    require_representable((value, Record(value)))


@pytest.mark.parametrize("value", [NAIVE, 2**40, "\ud800", Record((NAIVE,))], ids=ascii)
async def test_unit_of_work_with_unrepresentable_result_is_rolled_back(database, sql, value):
    async def rename(uow, returned):
        await uow.session.exec(text("UPDATE tournament SET name = 'Changed'"))
        return returned

    with pytest.raises(UnrepresentableResult):
        await database.run(partial(rename, returned=value))

    assert await sql.fetchval("SELECT name FROM tournament") == "ICCT26 Cricket Tournament"
    await database.run(partial(rename, returned=None))
    assert await sql.fetchval("SELECT name FROM tournament") == "Changed"


@pytest.mark.parametrize("value", [NAIVE, 2**40, "\ud800", float("nan"), [NAIVE]], ids=ascii)
@pytest.mark.parametrize("pgbouncer", [False, True])
async def test_statement_whose_answer_cannot_be_built_is_not_run(
    database, database_url, sql, value, pgbouncer
):
    writing = Database(DatabaseOptions(url=database_url, pgbouncer=pgbouncer))
    statement = CompiledStatement(
        text("UPDATE tournament SET name = 'Changed' RETURNING 1 AS done")
    )
    write = partial(
        writing.write,
        statement,
        {},
        repeatable=True,
        map_error=lambda _: None,
        response_values=value,
    )
    try:
        with pytest.raises(UnrepresentableResult):
            await write()
        name = await sql.fetchval("SELECT name FROM tournament")
        rows_of_another = await write(response_values=Record(1))
    finally:
        await writing.close()

    assert name == "ICCT26 Cricket Tournament"
    assert [row["done"] for row in rows_of_another] == [1]


SPOILT_REGISTRATIONS = {
    "count of teams beyond 32 bits": ("bigint", "2::bigint ^ 40"),
    "count of teams just beyond 32 bits": ("bigint", "2147483648"),
    "count of teams below 32 bits": ("numeric", "-2147483649"),
    "count of teams that is no number": ("float8", "'NaN'"),
    "infinite count of teams": ("float8", "'infinity'"),
    "count of teams in words": ("text", "'many'"),
}


@pytest.mark.parametrize("name", SPOILT_REGISTRATIONS)
async def test_registration_whose_answer_cannot_be_built_is_not_stored(client, sql, name):
    kind, value = SPOILT_REGISTRATIONS[name]
    await sql.execute(f"""
        ALTER TABLE church DROP CONSTRAINT ck_church_taken_not_negative;
        ALTER TABLE church ALTER taken TYPE {kind} USING taken::{kind};
        CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql
            AS $$ BEGIN NEW.taken = {value}; RETURN NEW; END $$;
        CREATE TRIGGER spoil BEFORE INSERT ON church FOR EACH ROW EXECUTE FUNCTION spoil();
    """)
    before = await rows(sql)

    try:
        answer = await execute(client, factories.REGISTER, {"input": factories.team(1)})
        after = await rows(sql)
    finally:
        await sql.execute("""
            DROP FUNCTION spoil() CASCADE;
            DELETE FROM church WHERE taken::text !~ '^[0-9]{1,9}$';
            ALTER TABLE church ALTER taken TYPE integer USING taken::integer;
            ALTER TABLE church ADD CONSTRAINT ck_church_taken_not_negative CHECK (taken >= 0);
        """)

    assert error_extensions(answer)["code"] == "INTERNAL"
    assert after == before
    assert (
        data(await execute(client, factories.REGISTER, {"input": factories.team(1)}))[
            "registerTeam"
        ]["team"]["code"]
        == "ICCT-001"
    )


DOCUMENT = DocumentRecord(
    id=uuid4(),
    kind=DocumentKind.PASTOR_LETTER,
    format=DocumentFormat.PDF,
    byte_size=1,
    created_at=datetime.now(UTC),
    store="folder",
    storage_name="0" * 32,
    folder="pending",
)


@pytest.mark.parametrize(
    "change",
    [
        {"registration": {"now": NAIVE}},
        {"documents": (replace(DOCUMENT, byte_size=-(2**31) - 1),)},
        {"documents": (replace(DOCUMENT, byte_size=2**31),)},
        {"documents": (replace(DOCUMENT, created_at=NAIVE),)},
        {"documents": (replace(DOCUMENT, review_note="half an emoji \ud83d"),)},
        {"documents": (replace(DOCUMENT, deleted_at=NAIVE),)},
    ],
    ids=["moment", "small size", "size", "creation", "note", "deletion"],
)
async def test_registration_that_would_show_a_value_that_no_answer_can_is_not_stored(
    database, sql, clock, change
):
    registration = await valid_registration(database, clock.now)
    before = await rows(sql)
    spoilt = replace(registration, **change.get("registration", {}))

    with pytest.raises(UnrepresentableResult):
        await insert_registration(database, spoilt, change.get("documents", ()))

    assert await rows(sql) == before
    assert (await insert_registration(database, registration, ())).code == "ICCT-001"


async def valid_registration(database, now) -> RegistrationRows:
    tournament, form = await lookups.get_active_tournament(database), factories.form(1)
    entry = validate_form(form, tournament.rules, today=now.date()).team
    return RegistrationRows(
        tournament=tournament,
        entry=entry,
        players=player_records(entry, form, {}),
        claims=(),
        key=None,
        idempotency=IdempotencyEntry(fingerprint=b"", object_id=new_id()),
        now=now,
        expires_at=now,
        request_id="",
    )


@pytest.fixture
async def corrupt_on_update(sql):
    """A function that makes every update of a table store values unknown to the program."""

    async def create_trigger(table: str, change: str) -> None:
        await sql.execute(f"""
            CREATE FUNCTION corrupt() RETURNS trigger LANGUAGE plpgsql
                AS $$ BEGIN {change}; RETURN NEW; END $$;
            CREATE TRIGGER corrupt BEFORE UPDATE ON {table}
                FOR EACH ROW EXECUTE FUNCTION corrupt();
        """)

    yield create_trigger
    await sql.execute("DROP FUNCTION IF EXISTS corrupt() CASCADE")


UPDATE = 'mutation { updateTournament(input: {venue: "Hall"}) { tournament { venue } } }'
MUTATIONS = {
    "withdrawTeam": "{teamId: ID, expectedVersion: 1, reason: R}",
    "requestChanges": "{teamId: ID, expectedVersion: 1, items: [{note: R}]}",
    "confirmTeam": "{teamId: ID, expectedVersion: 1, overrideReason: R}",
    "reissueManageToken": "{teamId: ID, expectedVersion: 1, reason: R}",
    "updateTeam": '{teamId: ID, expectedVersion: 1, reason: R, teamName: "Other Name"}',
}


async def test_tournament_change_with_unreadable_result_is_rolled_back(
    client, services, sql, corrupt_on_update
):
    owner = await bearer_headers(services, Role.OWNER)
    await corrupt_on_update("tournament", "NEW.required_documents = '{HOROSCOPE}'")
    before = await rows(sql), await sql.fetch("SELECT xmin, * FROM tournament")

    assert error_extensions(await execute(client, UPDATE, **owner))["code"] == "INTERNAL"

    assert (await rows(sql), await sql.fetch("SELECT xmin, * FROM tournament")) == before
    assert data(await execute(client, "{ tournament { venue } }"))["tournament"]["venue"] is None


@pytest.mark.parametrize("name", MUTATIONS)
async def test_team_change_with_unreadable_result_is_rolled_back(
    client, services, sql, corrupt_on_update, name
):
    await register(client, 1)
    reviewer = await bearer_headers(services, Role.REVIEWER)
    await corrupt_on_update("team", "UPDATE player SET role = 'UMPIRE' WHERE team_id = NEW.id")
    await sql.execute("ALTER TABLE player DROP CONSTRAINT ck_player_role_known")
    before = await rows(sql)
    arguments = MUTATIONS[name].replace("ID", '"ICCT-001"').replace("R,", '"A reason.",')
    arguments = arguments.replace("R}", '"A reason."}')

    try:
        answer = await execute(
            client, f"mutation {{ {name}(input: {arguments}) {{ team {{ code }} }} }}", **reviewer
        )
        after = await rows(sql)
    finally:
        await sql.execute("DROP FUNCTION corrupt() CASCADE")
        await sql.execute(
            "ALTER TABLE player ADD CONSTRAINT ck_player_role_known CHECK (role IN"
            " ('BATSMAN', 'BOWLER', 'ALL_ROUNDER', 'WICKET_KEEPER'))"
        )

    assert error_extensions(answer)["code"] == "INTERNAL"
    assert after == before
