"""Results that cannot be answered are not committed."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import pytest
from sqlalchemy import text

from domain.roles import Role
from persistence.answers import Unanswerable, require_answerable
from tests.asking import ask, data, refused
from tests.schema.test_corrections import rows
from tests.schema.test_review import register
from tests.signing_in import bearer

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
def test_what_no_answer_can_show_is_found_wherever_it_is(value, wrap):
    with pytest.raises(Unanswerable):
        require_answerable(wrap(value))


@pytest.mark.parametrize(
    "value",
    [None, True, 0, 2**31 - 1, -(2**31), 1.5, "ஆனந்த் 😀", b"\xff", datetime.now(UTC), Record([])],
)
def test_what_can_be_shown_is_let_through(value):
    require_answerable((value, Record(value)))


@pytest.mark.parametrize("value", [NAIVE, 2**40, "\ud800", Record((NAIVE,))], ids=ascii)
async def test_a_unit_of_work_that_returns_it_is_rolled_back(database, sql, value):
    async def rename(connection, returned):
        await connection.execute(text("UPDATE tournament SET name = 'Changed'"))
        return returned

    for run in (database.run, database.supersede):
        with pytest.raises(Unanswerable):
            await run(partial(rename, returned=value))

    assert await sql.fetchval("SELECT name FROM tournament") == "ICCT26 Cricket Tournament"
    await database.run(partial(rename, returned=None))
    assert await sql.fetchval("SELECT name FROM tournament") == "Changed"


@pytest.fixture
async def spoilt(sql):
    """Every change of a row stores in it what the program does not know."""

    async def spoil(table: str, change: str) -> None:
        await sql.execute(f"""
            CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql
                AS $$ BEGIN {change}; RETURN NEW; END $$;
            CREATE TRIGGER spoil BEFORE UPDATE ON {table}
                FOR EACH ROW EXECUTE FUNCTION spoil();
        """)

    yield spoil
    await sql.execute("DROP FUNCTION IF EXISTS spoil() CASCADE")


UPDATE = 'mutation { updateTournament(input: {venue: "Hall"}) { tournament { venue } } }'
MUTATIONS = {
    "withdrawTeam": "{teamId: ID, expectedVersion: 1, reason: R}",
    "requestChanges": "{teamId: ID, expectedVersion: 1, items: [{note: R}]}",
    "confirmTeam": "{teamId: ID, expectedVersion: 1, overrideReason: R}",
    "reissueManageToken": "{teamId: ID, expectedVersion: 1, reason: R}",
    "updateTeam": '{teamId: ID, expectedVersion: 1, reason: R, teamName: "Other Name"}',
}


async def test_a_tournament_that_could_not_be_read_again_is_not_stored(
    client, services, sql, spoilt
):
    owner = await bearer(services, Role.OWNER)
    await spoilt("tournament", "NEW.required_documents = '{HOROSCOPE}'")
    before = await rows(sql), await sql.fetch("SELECT xmin, * FROM tournament")

    assert refused(await ask(client, UPDATE, **owner))["code"] == "INTERNAL"

    assert (await rows(sql), await sql.fetch("SELECT xmin, * FROM tournament")) == before
    assert data(await ask(client, "{ tournament { venue } }"))["tournament"]["venue"] is None


@pytest.mark.parametrize("name", MUTATIONS)
async def test_a_team_that_could_not_be_read_again_is_not_stored(
    client, services, sql, spoilt, name
):
    await register(client, 1)
    reviewer = await bearer(services, Role.REVIEWER)
    await spoilt("team", "UPDATE player SET role = 'UMPIRE' WHERE team_id = NEW.id")
    await sql.execute("ALTER TABLE player DROP CONSTRAINT ck_player_role_known")
    before = await rows(sql)
    given = MUTATIONS[name].replace("ID", '"ICCT-001"').replace("R,", '"A reason.",')
    given = given.replace("R}", '"A reason."}')

    try:
        answer = await ask(
            client, f"mutation {{ {name}(input: {given}) {{ team {{ code }} }} }}", **reviewer
        )
        after = await rows(sql)
    finally:
        await sql.execute("DROP FUNCTION spoil() CASCADE")
        await sql.execute(
            "ALTER TABLE player ADD CONSTRAINT ck_player_role_known CHECK (role IN"
            " ('BATSMAN', 'BOWLER', 'ALL_ROUNDER', 'WICKET_KEEPER'))"
        )

    assert refused(answer)["code"] == "INTERNAL"
    assert after == before
