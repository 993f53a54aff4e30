"""The short cache of credentials and tournament rules, and its invalidation."""

import ast
import asyncio
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

import resolvers
from domain.auth.roles import SYSTEM, Role
from domain.errors.exceptions import (
    IdempotencyKeyReused,
    InvalidForm,
    ServiceUnavailable,
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

pytestmark = pytest.mark.recent


@pytest.fixture
async def other_process(services, database_url):
    """Services of another process."""
    database = Database(DatabaseOptions(url=database_url))
    yield replace(services, database=database)
    await database.close()


async def authenticate_reader(services, token):
    """Authenticate a read-only request."""
    return await accounts.authenticate(services, token, allow_cached=True)


@pytest.fixture
def register(services):
    return partial(register_team, services, request_id="request-of-the-test")


@pytest.mark.recent(3_600)
async def test_token_is_read_from_the_database_once(services):
    opened = await new_session(services)
    await authenticate_reader(services, opened.token)

    with record_statements() as seen:
        caller = await authenticate_reader(services, opened.token)

    assert caller.session_id == opened.session.id
    assert seen == []


@pytest.mark.recent(3_600)
async def test_cached_token_expires_in_time(services, clock):
    opened = await new_session(services)
    await authenticate_reader(services, opened.token)
    clock.advance(hours=12)

    with pytest.raises(Unauthenticated, match="has ended"):
        await authenticate_reader(services, opened.token)


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
        await authenticate_reader(other_process, token)
        await end()
        with pytest.raises(Unauthenticated):
            await authenticate_reader(other_process, token)


@pytest.mark.parametrize("everywhere", [False, True])
async def test_sign_out_ends_the_session_in_every_process(services, other_process, everywhere):
    opened = await new_session(services)
    caller = await authenticate_reader(other_process, opened.token)

    await accounts.sign_out(services, caller, everywhere=everywhere)

    with pytest.raises(Unauthenticated):
        await authenticate_reader(other_process, opened.token)


async def test_role_change_applies_in_every_process(services, other_process):
    owner, other = await new_caller(services), await new_session(services, Role.REVIEWER)
    own = await accounts.authenticate(services, other.token)
    created = await api_tokens.create(services, own, name="x", role=Role.REVIEWER, days=1)
    tokens = other.token, created.token
    assert [(await authenticate_reader(other_process, token)).role for token in tokens] == [
        Role.REVIEWER
    ] * 2

    await organisers.set_role(services, owner, other.organiser.id, Role.VIEWER)

    assert [(await authenticate_reader(other_process, token)).role for token in tokens] == [
        Role.VIEWER
    ] * 2


@pytest.mark.recent(3_600)
async def test_mutations_bypass_the_cache(client, services, sql):
    """A right that is being revoked could otherwise be used to create credentials."""
    owner = await bearer_headers(services)
    query, mutation = (
        "{ me { accessRole } }",
        ('mutation { createApiToken(input: {name: "x", role: OWNER, days: 1}) { token } }'),
    )
    assert data(await execute(client, query, **owner)) == {"me": {"accessRole": "OWNER"}}
    await sql.execute("DELETE FROM organiser_session")

    refused = await execute(client, mutation, **owner)

    assert refused.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert await sql.fetchval("SELECT count(*) FROM api_token") == 0


async def test_cancelled_change_does_not_report_success(services, sql):
    opened = await new_session(services)
    caller = await accounts.authenticate(services, opened.token)
    ending = asyncio.create_task(accounts.sign_out(services, caller))
    while await sql.fetchval("SELECT count(*) FROM organiser_session"):
        await asyncio.sleep(0)
    ending.cancel()

    with pytest.raises(asyncio.CancelledError):
        await ending
    with pytest.raises(Unauthenticated):
        await accounts.authenticate(services, opened.token)


@pytest.mark.recent(3_600)
async def test_registration_is_one_statement(register):
    await register(factories.form(0), key=None)

    with record_statements() as seen:
        registered = await register(factories.form(1), key=KEY)

    assert registered.team.code == "ICCT-002"
    assert len(seen) == 1


@pytest.mark.recent(3_600)
async def test_replay_needs_no_look_up_before_the_insert(register):
    first = await register(factories.form(), key=KEY)

    again = await register(factories.form(), key=KEY)

    assert (again.is_replay, again.team.id) == (True, first.team.id)
    with pytest.raises(IdempotencyKeyReused):
        await register(factories.form(1), key=KEY)


@pytest.mark.recent(3_600)
async def test_refusal_is_confirmed_with_fresh_rules(register, sql):
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


@pytest.mark.recent(3_600)
async def test_closed_season_accepts_no_registration(register, services, sql):
    await register(factories.form(0), key=None)
    await sql.execute(NEXT_SEASON)

    with pytest.raises(ServiceUnavailable):
        await register(factories.form(1), key=KEY)
    assert await sql.fetchval("SELECT count(*) FROM team") == 1
    assert await sql.fetchval("SELECT count(*) FROM idempotency_record") == 0

    services.database.recent.clear()
    assert (await register(factories.form(1), key=KEY)).team.code == "ICCT27-001"


RESOLVERS = Path(resolvers.__file__).parent
# Functions of persistence that change what `Database.recent` caches.
CHANGES = {
    "change",
    "delete_api_token",
    "delete_organiser_api_tokens",
    "delete_session",
    "delete_organiser_sessions",
    "raise_capacity",
    "set_password",
    "set_role",
}
PERSISTENCE = {"session_rows", "organisers", "tournaments"}


def called_changes(function: ast.AST) -> set[str]:
    attributes = (node for node in ast.walk(function) if isinstance(node, ast.Attribute))
    return {
        node.attr
        for node in attributes
        if isinstance(node.value, ast.Name)
        and node.value.id in PERSISTENCE
        and node.attr in CHANGES
    }


def superseded_work(module: ast.Module) -> str:
    """Return the source of all first arguments of `Database.supersede`."""
    calls = (node for node in ast.walk(module) if isinstance(node, ast.Call))
    return " ".join(
        ast.unparse(call.args[0])
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr == "supersede"
    )


def test_every_change_of_cached_rows_supersedes_the_cache():
    checked = set()
    for path in RESOLVERS.rglob("*.py"):
        module = ast.parse(path.read_text())
        work = superseded_work(module)
        for function in ast.walk(module):
            is_innermost = isinstance(function, ast.AsyncFunctionDef) and not any(
                isinstance(node, ast.AsyncFunctionDef) for node in ast.iter_child_nodes(function)
            )
            if is_innermost and called_changes(function):
                names = {function.name, *called_changes(function)}
                assert any(re.search(rf"\b{name}\b", work) for name in names), (path, names)
                checked |= called_changes(function)

    assert checked == CHANGES
