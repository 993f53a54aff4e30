"""Credentials and tournament rules are read for every request, so changes apply at once."""

import asyncio
from dataclasses import replace
from functools import partial

import pytest

from domain.auth.roles import SYSTEM, Role
from domain.errors.exceptions import (
    IdempotencyKeyReused,
    InvalidForm,
    Unauthenticated,
)
from persistence.engine.database import Database
from persistence.engine.engine import DatabaseOptions
from resolvers.accounts import api_tokens, organisers
from resolvers.accounts import sessions as accounts
from resolvers.registration.register import register_team
from resolvers.tournaments import settings
from tests import factories
from tests.accounts import bearer_headers, new_caller, new_session
from tests.graphql_client import data, execute
from tests.statement_recorder import record_statements

KEY = "a key of the test"
NEXT_SEASON = """
    WITH over AS (UPDATE tournament SET is_active = false RETURNING *)
    INSERT INTO tournament (id, is_active, name, code_prefix, time_zone, squad_min, squad_max,
        required_documents, created_at)
    SELECT gen_random_uuid(), true, 'Next', 'ICCT27', time_zone, 11, 15, '{}', now() FROM over
"""


@pytest.fixture
async def other_process(services, database_url):
    """Services of another process."""
    database = Database(DatabaseOptions(url=database_url))
    yield replace(services, database=database)
    await database.close()


@pytest.fixture
def register(services):
    return partial(register_team, services, request_id="request-of-the-test")


async def test_token_is_read_for_each_request(services, sql):
    opened = await new_session(services)
    await accounts.authenticate(services, opened.token)

    with record_statements() as seen:
        caller = await accounts.authenticate(services, opened.token)

    assert caller.session_id == opened.session.id
    assert len(seen) == 1
    await sql.execute("DELETE FROM organiser_session")
    with pytest.raises(Unauthenticated):
        await accounts.authenticate(services, opened.token)


async def test_concurrent_requests_share_the_statement_that_reads_tokens(services):
    tokens = [(await new_session(services, role)).token for role in Role]

    with record_statements() as seen:
        callers = await asyncio.gather(*(accounts.authenticate(services, t) for t in tokens))

    assert len({caller.organiser_id for caller in callers}) == len(Role)
    assert len(seen) == 1


async def test_token_expires_in_time(services, clock):
    opened = await new_session(services)
    await accounts.authenticate(services, opened.token)
    clock.advance(hours=12)

    with pytest.raises(Unauthenticated, match="has ended"):
        await accounts.authenticate(services, opened.token)


async def test_revocation_ends_a_token_in_every_process(services, other_process):
    owner = await new_caller(services)
    session = await new_session(services, Role.REVIEWER)
    other = await new_session(services, Role.VIEWER)
    created = await api_tokens.create(services, owner, name="x", role=Role.VIEWER, days=1)
    revocations = {
        session.token: partial(accounts.revoke_session, services, owner, session.session.id),
        created.token: partial(api_tokens.revoke, services, owner, created.record.id),
        other.token: partial(
            organisers.reset_password,
            services,
            SYSTEM,
            email=other.organiser.email,
            password="another correct horse battery",
        ),
    }

    for token, end in revocations.items():
        await accounts.authenticate(other_process, token)
        await end()
        with pytest.raises(Unauthenticated):
            await accounts.authenticate(other_process, token)


@pytest.mark.parametrize("everywhere", [False, True])
async def test_sign_out_ends_the_session_in_every_process(services, other_process, everywhere):
    opened = await new_session(services)
    caller = await accounts.authenticate(other_process, opened.token)

    await accounts.sign_out(services, caller, everywhere=everywhere)

    with pytest.raises(Unauthenticated):
        await accounts.authenticate(other_process, opened.token)


async def test_role_change_applies_in_every_process(services, other_process):
    owner, other = await new_caller(services), await new_session(services, Role.REVIEWER)
    own = await accounts.authenticate(services, other.token)
    created = await api_tokens.create(services, own, name="x", role=Role.REVIEWER, days=1)
    tokens = other.token, created.token
    assert [(await accounts.authenticate(other_process, token)).role for token in tokens] == [
        Role.REVIEWER
    ] * 2

    await organisers.set_role(services, owner, other.organiser.id, Role.VIEWER)

    assert [(await accounts.authenticate(other_process, token)).role for token in tokens] == [
        Role.VIEWER
    ] * 2


@pytest.mark.parametrize(
    "operation",
    [
        "{ me { accessRole } }",
        'mutation { createApiToken(input: {name: "x", role: OWNER, days: 1}) { token } }',
    ],
)
async def test_request_right_after_the_session_was_deleted_is_refused(
    client, services, sql, operation
):
    owner = await bearer_headers(services)
    assert data(await execute(client, "{ me { accessRole } }", **owner)) == {
        "me": {"accessRole": "OWNER"}
    }
    await sql.execute("DELETE FROM organiser_session")

    refused = await execute(client, operation, **owner)

    assert refused.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert await sql.fetchval("SELECT count(*) FROM api_token") == 0


async def test_registration_is_the_rules_and_one_statement(register):
    with record_statements() as seen:
        registered = await register(factories.form(1), key=KEY)

    assert registered.team.code == "ICCT-001"
    assert len(seen) == 2


async def test_replay_needs_no_look_up_before_the_insert(register):
    first = await register(factories.form(), key=KEY)

    again = await register(factories.form(), key=KEY)

    assert (again.is_replay, again.team.id) == (True, first.team.id)
    with pytest.raises(IdempotencyKeyReused):
        await register(factories.form(1), key=KEY)


async def test_form_is_checked_by_the_rules_of_this_moment(register, sql):
    await sql.execute("UPDATE tournament SET squad_max = 14")
    with pytest.raises(InvalidForm):
        await register(factories.form(), key=KEY)
    await sql.execute("UPDATE tournament SET squad_max = 15")

    assert (await register(factories.form(), key=KEY)).team.code == "ICCT-001"


async def test_new_rules_apply_in_every_process(services, other_process):
    owner = await new_caller(services)
    register = partial(register_team, other_process, key=None, request_id="request-of-the-test")
    await register(factories.form(0))

    await settings.update_tournament(services, owner, {"squad_max": 14})

    with pytest.raises(InvalidForm) as refused:
        await register(factories.form(1))
    assert [issue.code for issue in refused.value.issues] == ["SQUAD_TOO_LARGE"]


async def test_next_season_takes_registrations_at_once(register, sql):
    await register(factories.form(0), key=None)
    await sql.execute(NEXT_SEASON)

    assert (await register(factories.form(1), key=KEY)).team.code == "ICCT27-001"
