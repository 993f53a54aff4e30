"""Cookies, bearer tokens, whose pages may use them, and from where."""

from dataclasses import replace
from http.cookies import SimpleCookie

import pytest
from sqlalchemy import text

from domain.auth.roles import Role
from resolvers.accounts import api_tokens
from resolvers.accounts import sessions as accounts
from tests import factories
from tests.accounts import (
    PASSWORD,
    SIGN_IN,
    bearer_headers,
    new_organiser,
    new_session,
    session_cookie,
    with_real_clock,
)
from tests.clock import FakeClock
from tests.graphql_client import app_client, check_envelope, data, error_extensions, execute

HOST_COOKIE = "__Host-icct26"
ME = "{ me { email } }"
SIGN_OUT = "mutation { signOut(input: {}) { organiser { email } } }"
PUBLIC = "{ tournament { name } }"
NAMED = {"tournament": {"name": "ICCT26 Cricket Tournament"}}
INTROSPECTION = "{ __schema { queryType { name } } }"
OWNER = {"me": {"email": "owner@example.org"}}
ENDED = "ics_" + "a" * 43


@pytest.fixture
def served(settings_with, database_url):
    """The whole application with some settings of the test's own."""

    def serve(**changes):
        return app_client(settings_with(**changes), database_url)

    return serve


@pytest.fixture
async def opened(services):
    """A session of an owner, in real time."""
    return await new_session(with_real_clock(services))


def with_cookie(token: str, name: str = HOST_COOKIE) -> dict[str, str]:
    return {"Cookie": f"{name}={token}"}


async def sign_in(client, **headers):
    values = {"email": "owner@example.org", "password": PASSWORD}
    return await execute(client, SIGN_IN, {"input": values}, **headers)


async def test_browser_gets_a_cookie_that_no_script_and_no_other_site_can_use(client, services):
    await new_organiser(services)

    answer = await sign_in(client)

    token = data(answer)["signIn"]["token"]
    cookie = session_cookie(answer)
    morsel = SimpleCookie(cookie)[HOST_COOKIE]
    assert morsel.value == token
    assert (morsel["path"], morsel["secure"], morsel["httponly"], morsel["domain"]) == (
        "/",
        True,
        True,
        "",
    )
    assert morsel["samesite"] == "strict"
    assert int(morsel["max-age"]) in range(7 * 86_400 - 60, 7 * 86_400 + 1)
    assert data(await execute(client, ME, **with_cookie(token))) == OWNER


async def test_refused_sign_in_sets_no_cookie(client, services):
    answer = await sign_in(client)

    assert error_extensions(answer)["code"] == "SIGN_IN_FAILED"
    assert session_cookie(answer) is None


PLAIN = ("icct26", "", "lax")
SECURE = (HOST_COOKIE, True, "strict")


@pytest.mark.parametrize(
    ("environment", "address", "expected"),
    [
        ("development", "http://localhost", PLAIN),
        ("development", "http://127.0.0.1:8000", PLAIN),
        ("development", "http://[::1]:8000", PLAIN),
        ("development", "https://localhost", SECURE),
        ("development", "http://dev.example.org", SECURE),
        ("test", "http://localhost", SECURE),
    ],
)
async def test_only_development_on_this_machine_does_without_tls(
    served, services, environment, address, expected
):
    await new_organiser(services)
    hosts = ("localhost", "127.0.0.1", "[::1]", "dev.example.org")

    async with served(environment=environment, allowed_hosts=hosts) as client:
        client.base_url = address
        answer = await sign_in(client)
        (morsel,) = SimpleCookie(session_cookie(answer)).values()
        again = await execute(client, ME, **with_cookie(morsel.value, morsel.key))

    assert (morsel.key, morsel["secure"], morsel["samesite"]) == expected
    assert morsel["httponly"]
    assert data(again) == OWNER


async def test_cookie_under_another_name_is_not_ours(client, opened):
    for name in ("icct26", "session", "__Secure-icct26"):
        answer = await execute(client, ME, **with_cookie(opened.token, name))

        assert error_extensions(answer)["code"] == "UNAUTHENTICATED"


async def test_signing_out_takes_the_cookie_away(client, opened):
    answer = await execute(client, SIGN_OUT, **with_cookie(opened.token), Origin="http://localhost")

    assert data(answer)["signOut"]["organiser"]["email"] == "owner@example.org"
    morsel = SimpleCookie(session_cookie(answer))[HOST_COOKIE]
    assert (morsel.value, morsel["max-age"], morsel["path"], morsel["secure"]) == (
        "",
        "0",
        "/",
        True,
    )
    again = await execute(client, ME, **with_cookie(opened.token))
    assert error_extensions(again)["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize("token", ["", "x", ENDED, "icm_" + "a" * 43])
async def test_cookie_that_has_ended_counts_as_none_and_is_taken_away(client, token):
    public = await execute(client, PUBLIC, **with_cookie(token))
    own = await execute(client, ME, **with_cookie(token))

    assert data(public) == NAMED
    assert error_extensions(own)["code"] == "UNAUTHENTICATED"
    for answer in (public, own):
        assert SimpleCookie(session_cookie(answer))[HOST_COOKIE]["max-age"] == "0"


async def test_who_has_an_old_cookie_can_sign_in_again(client, services):
    await new_organiser(services)

    answer = await sign_in(client, **with_cookie(ENDED), Origin="http://localhost")

    token = data(answer)["signIn"]["token"]
    assert SimpleCookie(session_cookie(answer))[HOST_COOKIE].value == token


@pytest.mark.parametrize("document", [PUBLIC, ME, SIGN_OUT])
@pytest.mark.parametrize("given", [ENDED, "ics_", "", "nonsense", "ici_" + "a" * 43])
async def test_bearer_token_that_is_none_is_refused_whatever_is_asked(client, document, given):
    answer = await execute(client, document, Authorization=f"Bearer {given}")

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert error_extensions(answer)["code"] == "UNAUTHENTICATED"
    assert "data" not in answer.json()


async def test_session_that_has_expired_is_refused(client, services):
    opened = await new_session(replace(services, clock=FakeClock()))
    months_ago = "UPDATE organiser_session SET expires_at = now() - interval '1 second'"

    async def expire(uow):
        await uow.session.exec(text(months_ago))

    await services.database.run(expire)

    answer = await execute(client, PUBLIC, Authorization=f"Bearer {opened.token}")
    assert (answer.status_code, error_extensions(answer)["code"]) == (401, "UNAUTHENTICATED")


async def test_tokens_of_captains_and_other_schemes_are_left_alone(client, opened):
    for given in (
        "Bearer icm_whatever_1_it",
        "Basic b3duZXI6cGFzc3dvcmQ=",
        "Bearer",
        "bearer icm_",
    ):
        answer = await execute(client, PUBLIC, Authorization=given)
        if given == "Bearer":
            assert answer.status_code == 401
        else:
            assert data(answer) == NAMED

    captain = {"Authorization": "Bearer icm_whatever_1_it"} | with_cookie(opened.token)
    assert error_extensions(await execute(client, ME, **captain))["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_bearer_token_wins_over_the_cookie(client, services, opened, scheme):
    viewer = await bearer_headers(services, Role.VIEWER)
    given = viewer["Authorization"].replace("Bearer", scheme)

    answer = await execute(client, ME, Authorization=given, **with_cookie(opened.token))

    assert data(answer) == {"me": {"email": "viewer@example.org"}}


HOST = "http://localhost"
OTHER = "https://evil.example"
LISTED = "https://forms.example.org"


@pytest.mark.parametrize(
    ("headers", "is_let_through"),
    [
        ({}, False),
        ({"Origin": HOST}, True),
        ({"Origin": LISTED}, True),
        ({"Origin": "HTTP://LOCALHOST"}, True),
        ({"Origin": "https://localhost"}, True),
        ({"X-Requested-With": "XMLHttpRequest"}, True),
        ({"X-Requested-With": ""}, True),
        ({"Origin": OTHER, "X-Requested-With": "fetch"}, True),
        ({"Apollo-Require-Preflight": "true"}, True),
        ({"Origin": "null", "apollo-require-preflight": ""}, True),
        ({"Apollo-Require": "true"}, False),
        ({"X-Apollo-Operation-Name": "SignOut"}, False),
        ({"Origin": OTHER, "X-Requested": "fetch"}, False),
        ({"Origin": OTHER}, False),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
        ({"Origin": "http://localhost.evil.example"}, False),
        ({"Origin": "http://localhost:8000"}, False),
        ({"Origin": "http://user@localhost"}, False),
        ({"Origin": "ftp://localhost"}, False),
        ({"Origin": "//localhost"}, False),
        ({"Origin": "http://forms.example.org"}, False),
        ({"Origin": "https://forms.example.org.evil.example"}, False),
        ({"Origin": "http://[localhost"}, False),
    ],
    ids=str,
)
async def test_mutation_with_the_cookie_has_to_come_from_an_own_page(
    served, opened, sql, headers, is_let_through
):
    async with served(cors_origins=(LISTED,)) as client:
        answer = await execute(client, SIGN_OUT, **with_cookie(opened.token), **headers)

    left = await sql.fetchval("SELECT count(*) FROM organiser_session")
    if is_let_through:
        assert data(answer)["signOut"]["organiser"]["email"] == "owner@example.org"
        assert left == 0
    else:
        assert error_extensions(answer)["code"] == "FORBIDDEN"
        assert answer.status_code == 403
        assert left == 1


@pytest.mark.parametrize(
    ("host", "origin", "is_let_through"),
    [
        ("localhost:443", "https://localhost", True),
        ("localhost:80", "http://localhost", True),
        ("localhost", "https://localhost:443", True),
        ("localhost:443", "https://localhost:443", True),
        ("LOCALHOST:443", "https://localhost", True),
        ("localhost:8443", "https://localhost:8443", True),
        ("localhost:80", "https://localhost", False),
        ("localhost:443", "http://localhost", False),
        ("localhost:4430", "https://localhost", False),
        ("localhost", "https://localhost:8443", False),
    ],
)
async def test_default_port_of_the_scheme_makes_no_other_page(
    client, opened, host, origin, is_let_through
):
    headers = with_cookie(opened.token) | {"Host": host, "Origin": origin}

    answer = await execute(client, SIGN_OUT, **headers)

    assert (answer.status_code == 200) is is_let_through
    if not is_let_through:
        assert error_extensions(answer)["code"] == "FORBIDDEN"


async def test_every_kind_of_mutation_with_the_cookie_has_to_come_from_an_own_page(
    client, opened, sql
):
    upload = """mutation { openUpload(input: {kind: PHOTO, fileName: "a.png", byteSize: 1,
      contentType: "image/png", sha256: "%s"}) { ticket { url } } }""" % ("0" * 64)

    for document, variables in (
        (factories.REGISTER, {"input": factories.team()}),
        (upload, None),
        (SIGN_IN, {"input": {"email": "owner@example.org", "password": PASSWORD}}),
    ):
        for token in (opened.token, ENDED):
            answer = await execute(client, document, variables, **with_cookie(token))
            assert error_extensions(answer)["code"] == "FORBIDDEN"

    assert await sql.fetchval("SELECT count(*) FROM team") == 0
    assert await sql.fetchval("SELECT count(*) FROM organiser_session") == 1


async def test_any_origin_for_reading_is_no_origin_for_the_cookie(served, opened):
    async with served(cors_origins=("*",)) as client:
        answer = await execute(client, SIGN_OUT, **with_cookie(opened.token), Origin=OTHER)
        starred = await execute(client, SIGN_OUT, **with_cookie(opened.token), Origin="*")

    assert error_extensions(answer)["code"] == error_extensions(starred)["code"] == "FORBIDDEN"


async def test_deployed_the_own_page_is_one_over_tls(served, opened):
    settings = {
        "environment": "staging",
        "database_url": "postgresql://icct:pw@db.example.org/icct26",
        "secret_key": "q7Jd0vX2mLr9TbWc5ZkNs8HyPfGa3EuR",
        "allowed_hosts": ("api.example.org",),
        "trusted_proxies": (),
    }
    async with served(**settings) as client:
        client.base_url = "http://api.example.org"
        plain = await execute(
            client, SIGN_OUT, **with_cookie(opened.token), Origin="http://api.example.org"
        )
        tls = await execute(
            client, SIGN_OUT, **with_cookie(opened.token), Origin="https://api.example.org"
        )

    assert error_extensions(plain)["code"] == "FORBIDDEN"
    assert data(tls)["signOut"]["organiser"]["email"] == "owner@example.org"


async def test_queries_with_the_cookie_and_mutations_with_a_token_need_no_origin(client, opened):
    query = await execute(client, ME, **with_cookie(opened.token), Origin=OTHER)
    get = await client.get("/graphql", params={"query": ME}, headers=with_cookie(opened.token))
    mutation = await execute(
        client,
        SIGN_OUT,
        Authorization=f"Bearer {opened.token}",
        Origin=OTHER,
        **with_cookie(opened.token),
    )

    assert data(query) == data(get) == OWNER
    assert data(mutation)["signOut"]["organiser"]["email"] == "owner@example.org"


async def test_whoever_is_known_may_read_the_schema(served, opened):
    async with served(anonymous_introspection=False) as client:
        anonymous = await execute(client, INTROSPECTION)
        known = await execute(client, INTROSPECTION, Authorization=f"Bearer {opened.token}")

    assert error_extensions(anonymous)["code"] == "GRAPHQL_VALIDATION_FAILED"
    assert data(known) == {"__schema": {"queryType": {"name": "Query"}}}


ACCEPT = """mutation ($input: AcceptInvitationInput!) {
  acceptInvitation(input: $input) { organiser { id } }
}"""
INVITATION = {"input": {"token": "ici_" + "a" * 43, "password": PASSWORD}}


def from_networks(*networks: str) -> dict[str, tuple[str, ...]]:
    return {"admin_allowed_networks": networks, "trusted_proxies": ("127.0.0.1",)}


@pytest.mark.parametrize(
    ("networks", "address"),
    [
        ((), "192.0.2.7"),
        (("192.0.2.0/24",), "192.0.2.7"),
        (("192.0.2.7",), "192.0.2.7"),
        (("2001:db8::/32",), "2001:db8::1"),
    ],
)
async def test_organisers_work_from_their_networks(served, services, networks, address):
    opened = await new_session(with_real_clock(services))

    async with served(**from_networks(*networks)) as client:
        client.headers["X-Forwarded-For"] = address
        by_bearer = await execute(client, ME, Authorization=f"Bearer {opened.token}")
        by_cookie = await execute(client, ME, **with_cookie(opened.token))
        signing_in = await sign_in(client)
        accepting = await execute(client, ACCEPT, INVITATION)

    assert data(by_bearer) == data(by_cookie) == OWNER
    assert data(signing_in)["signIn"]["organiser"]["email"] == "owner@example.org"
    assert error_extensions(accepting)["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize(
    ("networks", "address"),
    [
        (("192.0.2.8", "198.51.100.0/24"), "192.0.2.7"),
        (("2001:db8::1",), "2001:db8::2"),
        (("2001:db8::/32",), "192.0.2.7"),
    ],
)
async def test_organisers_work_from_nowhere_else(served, services, sql, networks, address):
    opened = await new_session(with_real_clock(services))

    async with served(**from_networks(*networks)) as client:
        client.headers["X-Forwarded-For"] = address
        by_bearer = await execute(client, ME, Authorization=f"Bearer {opened.token}")
        by_cookie = await execute(client, ME, **with_cookie(opened.token))
        public = await execute(client, PUBLIC, **with_cookie(opened.token))
        signing_in = await sign_in(client)
        accepting = await execute(client, ACCEPT, INVITATION)

    assert data(public) == NAMED
    assert session_cookie(public) is None
    assert error_extensions(by_cookie)["code"] == "UNAUTHENTICATED"
    assert {error_extensions(answer)["code"] for answer in (by_bearer, signing_in, accepting)} == {
        "FORBIDDEN"
    }
    assert await sql.fetchval("SELECT count(*) FROM organiser_session") == 1


async def test_api_token_is_a_bearer_token_too(client, services, opened):
    real = with_real_clock(services)
    found = await accounts.authenticate(real, opened.token)
    made = await api_tokens.create(real, found, name="export", role=Role.VIEWER, days=1)

    answer = await execute(client, ME, Authorization=f"Bearer {made.token}")

    assert data(answer) == OWNER
    check_envelope((await execute(client, SIGN_OUT, Authorization=f"Bearer {made.token}")).json())


async def test_sign_ins_are_counted_while_the_store_is_away(served, services):
    await new_organiser(services)

    async with served(rate_limit_storage="redis://127.0.0.1:1") as client:
        codes = []
        for _ in range(11):
            values = {"email": "owner@example.org", "password": "another password"}
            answer = await execute(client, SIGN_IN, {"input": values})
            codes.append(error_extensions(answer)["code"])

    assert codes == ["SIGN_IN_FAILED"] * 10 + ["RATE_LIMITED"]
