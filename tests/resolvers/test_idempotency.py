"""Tokens created under a key whose commit succeeded although its answer was lost."""

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from domain.auth.roles import Role
from persistence.engine.database import Database
from persistence.engine.engine import DatabaseOptions
from resolvers.accounts import api_tokens, organisers
from resolvers.accounts import sessions as accounts
from tests.accounts import new_caller
from tests.postgres_proxy import PostgresProxy


@pytest.fixture
async def proxy(database_url):
    async with PostgresProxy(database_url) as opened:
        yield opened


@pytest.fixture
async def proxied(proxy, services):
    """Services with a database whose commits can be cut."""
    database = Database(DatabaseOptions(url=proxy.url))
    yield replace(services, database=database)
    await database.close()


@pytest.mark.parametrize("delivers", [True, False], ids=["committed", "not committed"])
@pytest.mark.parametrize("is_signed", [True, False], ids=["signed", "plain"])
async def test_api_token_after_a_lost_commit_answer_is_not_a_replay(
    services, proxy, proxied, sql, delivers, is_signed
):
    owner = await new_caller(services)
    values = {"name": "export", "role": Role.VIEWER, "days": 1, "is_signed": is_signed, "key": "k"}
    proxy.connections_to_cut, proxy.delivers_commit = 1, delivers

    with capture_logs() as logs:
        created = await api_tokens.create(proxied, owner, **values)
        again = await api_tokens.create(proxied, owner, **values)

    assert proxy.connections_to_cut == 0
    assert (created.is_replay, again.is_replay) == (False, True)
    assert (again.token, again.signing_secret) == (created.token, created.signing_secret)
    assert [entry["event"] for entry in logs].count("api_token_created") == 1
    assert await sql.fetchval("SELECT count(*) FROM api_token") == 1
    if not is_signed:
        assert (await accounts.authenticate(services, created.token)).role == Role.VIEWER


@pytest.mark.parametrize("delivers", [True, False], ids=["committed", "not committed"])
@pytest.mark.parametrize("role", list(Role))
async def test_invitation_after_a_lost_commit_answer_is_not_a_replay(
    services, proxy, proxied, sql, delivers, role
):
    owner = await new_caller(services)
    values = {"email": "new@example.org", "role": role, "key": "k"}
    proxy.connections_to_cut, proxy.delivers_commit = 1, delivers

    with capture_logs() as logs:
        created = await organisers.invite(proxied, owner, **values)
        again = await organisers.invite(proxied, owner, **values)

    assert proxy.connections_to_cut == 0
    assert (created.is_replay, again.is_replay, again.token) == (False, True, created.token)
    assert [entry["event"] for entry in logs].count("organiser_invited") == 1
    invited = "SELECT count(*) FROM audit_event WHERE action = 'organiser.invited'"
    assert await sql.fetchval(invited) == 1
