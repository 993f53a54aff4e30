"""Infinite and out-of-range timestamps, on every path from the database to the client."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import bindparam, literal_column, select, text
from sqlalchemy.types import DateTime

from domain.auth.roles import Role
from persistence.engine.database import Database
from persistence.engine.engine import DatabaseOptions
from persistence.engine.timestamps import EARLIEST, LATEST
from persistence.fast.statement_pool import CompiledStatement
from tests import factories
from tests.accounts import bearer_headers
from tests.graphql_client import app_client, data, error_extensions, execute
from tests.schema.teams.test_decisions import register

STORED = {
    "infinity": LATEST,
    "-infinity": EARLIEST,
    "294276-12-31T23:59:59Z": LATEST,
    "4713-01-01T00:00:00Z BC": EARLIEST,
    "10000-01-01T00:00:00Z": LATEST,
    "9999-12-31T23:59:59.999999Z": LATEST,
    "0001-01-01T00:00:00Z": EARLIEST,
    "1999-12-31T23:59:59.999999Z": datetime(1999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    "2026-11-23T09:30:00.000001+05:30": datetime(2026, 11, 23, 4, 0, 0, 1, tzinfo=UTC),
}
WINDOW = "{ tournament { registration { state opensAt closesAt } } registrationRules { squadMin } }"
UPDATE = """mutation U($input: UpdateTournamentInput!) {
  updateTournament(input: $input) { tournament { registration { state opensAt closesAt } } }
}"""
TEAM = '{ team(code: "ICCT-001") { code registeredAt updatedAt } }'
ALL_TEAMS = "{ teams(orderBy: {field: REGISTERED}) { nodes { registeredAt updatedAt } } }"
ECHO = CompiledStatement(select(bindparam("moment", type_=DateTime(timezone=True)).label("moment")))


def stored(text: str) -> CompiledStatement:
    return CompiledStatement(select(literal_column(f"timestamptz '{text}'").label("moment")))


@pytest.fixture(params=["pool", "single", "pgbouncer"])
async def reading(database_url, request):
    """A database that reads by SQLAlchemy's pool, by the read pool or behind pgbouncer."""
    sizes = {"pool_size": 1, "max_overflow": 0} if request.param == "pool" else {}
    database = Database(
        DatabaseOptions(url=database_url, pgbouncer=request.param == "pgbouncer", **sizes)
    )
    yield database
    await database.close()


@pytest.mark.parametrize("text", STORED)
async def test_every_stored_timestamp_is_read_as_aware_utc(reading, text):
    (row,) = await reading.fetch(stored(text))

    assert (row["moment"], row["moment"].tzinfo) == (STORED[text], UTC)


@pytest.mark.parametrize(
    "moment", [EARLIEST, LATEST, datetime(2026, 11, 23, 4, 0, 0, 1, tzinfo=UTC)]
)
async def test_written_timestamp_is_read_unchanged(reading, moment):
    (row,) = await reading.fetch(ECHO, moment=moment)

    assert row["moment"] == moment


async def test_naive_datetime_is_rejected(reading):
    with pytest.raises(Exception, match="offset-naive"):
        await reading.fetch(ECHO, moment=datetime(2026, 11, 23))  # noqa: DTZ001


@pytest.mark.parametrize("opens_at", ["infinity", "-infinity", None])
@pytest.mark.parametrize("closes_at", ["infinity", "-infinity"])
async def test_infinite_registration_period_is_unbounded(client, sql, opens_at, closes_at):
    await sql.execute(
        "UPDATE tournament SET opens_at = CAST(CAST($1 AS text) AS timestamptz),"
        " closes_at = CAST(CAST($2 AS text) AS timestamptz)",
        opens_at,
        closes_at,
    )

    window = data(await execute(client, WINDOW))["tournament"]["registration"]
    report = data(await execute(client, factories.VALIDATE, {"input": factories.team(1)}))[
        "validateTeam"
    ]

    assert window == {"state": "OPEN", "opensAt": None, "closesAt": None}
    assert report == {"isValid": True, "issues": [], "blockers": []}
    await register(client, 1)


async def test_owner_can_replace_an_infinite_bound(client, services, sql):
    await sql.execute("UPDATE tournament SET opens_at = '-infinity', closes_at = 'infinity'")
    owner = await bearer_headers(services, Role.OWNER)

    answer = await execute(client, UPDATE, {"input": {"opensAt": "2099-01-01T00:00:00Z"}}, **owner)

    window = data(answer)["updateTournament"]["tournament"]["registration"]
    expected = {"state": "NOT_OPEN", "opensAt": "2099-01-01T00:00:00.000000Z", "closesAt": None}
    assert window == expected
    code = error_extensions(
        await execute(client, factories.REGISTER, {"input": factories.team(1)})
    )["code"]
    assert code == "REGISTRATION_NOT_OPEN"


@pytest.mark.parametrize("rendered", [True, False])
async def test_infinite_team_timestamps_are_the_same_on_every_read_path(
    settings_with, database, database_url, services, sql, rendered
):
    owner = await bearer_headers(services, Role.OWNER)
    expected = {
        "registeredAt": "0001-01-01T00:00:00.000000Z",
        "updatedAt": "9999-12-31T23:59:59.999999Z",
    }
    async with app_client(settings_with(rendered_plans=rendered), database_url) as client:
        await register(client, 1)
        await sql.execute("UPDATE team SET registered_at = '-infinity', updated_at = 'infinity'")

        for _ in range(2):
            team = data(await execute(client, TEAM, **owner))["team"]
            assert team == {"code": "ICCT-001", **expected}
            assert data(await execute(client, ALL_TEAMS, **owner))["teams"]["nodes"] == [expected]


async def test_session_that_expires_at_infinity_is_valid(client, services, sql):
    owner = await bearer_headers(services, Role.OWNER)
    await sql.execute("UPDATE organiser_session SET expires_at = 'infinity'")

    answer = await execute(client, "{ me { email } sessions { expiresAt } }", **owner)

    (session,) = data(answer)["sessions"]
    assert session["expiresAt"] == "9999-12-31T23:59:59.999999Z"


async def test_units_of_work_read_infinity_too(database, sql):
    await sql.execute("UPDATE tournament SET created_at = 'infinity'")

    async def work(uow):
        return (await uow.session.exec(text("SELECT created_at FROM tournament"))).scalar_one()

    assert await database.run(work) == LATEST
    assert await database.read(work) == LATEST
    assert LATEST - await database.run(work) == timedelta(0)
