"""Any text in place of a token, key, link, cursor or code is refused with the proper error code."""

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import quote
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from domain.auth.roles import Role
from domain.errors.base import DomainError
from domain.errors.exceptions import NotFound, Unauthenticated, UploadExpired
from persistence.ids import new_id
from resolvers.accounts import request_signing, totp
from resolvers.accounts import sessions as accounts
from resolvers.accounts.request_signing import SignedRequest
from resolvers.captain import access as captain_access
from resolvers.documents import uploads
from resolvers.exports import export as exports
from resolvers.security import signed_links
from resolvers.security.secrets import (
    constant_time_equal,
    manage_token,
    sign,
    verify_manage_token,
    verify_signed,
)
from tests import factories
from tests.accounts import (
    PASSWORD,
    new_caller,
    new_organiser,
    new_session,
    role_email,
    with_real_clock,
)
from tests.graphql_client import app_client, data, execute
from tests.hostile.odd_texts import ODD, odd_texts
from tests.hostile.response_checks import check
from tests.schema.teams.test_corrections import rows

HEX = "0123456789abcdef" * 2
DECOY = f"icm_{HEX}_1_{'a' * 43}"
MY_TEAM = "query T($token: String) { myTeam(token: $token) { code } }"
ME = "{ me { email } }"
PUBLIC = "{ tournament { name } }"
REGISTER = factories.REGISTER
# Of arguments: by the type, and of a body whose characters are written in six bytes each.
TOO_LONG = {"BAD_USER_INPUT", "VALIDATION_FAILED", "BODY_TOO_LARGE"}
# Where an argument is a secret or an id: a document with its variable.
ARGUMENTS = {
    "acceptInvitation": """mutation A($x: String!) {
      acceptInvitation(input: {token: $x, password: "a long one"}) { organiser { id } }
    }""",
    "withdrawMyTeam": """mutation A($x: String) {
      withdrawMyTeam(input: {token: $x, expectedVersion: 1, reason: "No more."}) { team { code } }
    }""",
}


def headers_of(text: str) -> dict[str, bytes] | None:
    """Return the text as header bytes; None if no header can contain it."""
    written = text.encode("utf-8", "surrogatepass")
    if any(byte in written for byte in b"\0\r\n") or len(written) > 20_000:
        return None
    return {"bearer": b"Bearer " + written, "plain": written}


@pytest.fixture
async def team_token(client) -> str:
    registered = data(await execute(client, REGISTER, {"input": factories.team(1)}))["registerTeam"]
    return registered["manageToken"]


async def test_only_the_exact_manage_token_opens_a_team(client, sql, team_token):
    before = await rows(sql)

    for text in {*odd_texts(team_token), *odd_texts(DECOY)}:
        with capture_logs() as written:
            answer = await execute(client, MY_TEAM, {"token": text})
        check(answer)
        (error,) = answer.json()["errors"]
        assert error["extensions"]["code"] in {"UNAUTHENTICATED", *TOO_LONG}
        assert not [line for line in written if line["event"] == "unexpected_exception"]

    assert await rows(sql) == before
    assert (
        data(await execute(client, MY_TEAM, {"token": team_token}))["myTeam"]["code"] == "ICCT-001"
    )


@pytest.mark.parametrize("name", ARGUMENTS)
async def test_hostile_texts_as_secret_arguments_are_refused(client, services, sql, name):
    codes = {"UNAUTHENTICATED", "NOT_FOUND", "FORBIDDEN", *TOO_LONG}
    session = await new_session(with_real_clock(services))
    before = await rows(sql)

    for text in [*ODD, *list(odd_texts(session.token))[-20:], *list(odd_texts("123456"))[:40]]:
        answer = await execute(client, ARGUMENTS[name], {"x": text})
        check(answer)
        assert {error["extensions"]["code"] for error in answer.json()["errors"]} <= codes

    assert await rows(sql) == before


@pytest.mark.parametrize("header", ["Authorization", "Cookie", "Idempotency-Key", "X-Request-ID"])
async def test_hostile_header_values_are_refused(
    settings_with, database, database_url, services, header
):
    session = await new_session(with_real_clock(services))
    team = manage_token(services.secrets, new_id())
    async with app_client(settings_with(environment="development"), database_url) as client:
        for text in [*odd_texts(session.token), *odd_texts(team)]:
            found = headers_of(text)
            if found is None:
                continue
            value = found["bearer" if header == "Authorization" else "plain"]
            if header == "Cookie":
                value = b"icct26=" + value + b"; __Host-icct26=" + value
            for document in (ME, MY_TEAM):
                answer = await client.post(
                    "/graphql",
                    content=json.dumps({"query": document}),
                    headers={"Content-Type": "application/json", header: value},
                )
                check(answer)
                is_token = text.strip() in {session.token, team}
                assert header != "Authorization" or is_token or answer.json()["errors"]


async def test_invalid_idempotency_keys_are_refused_and_not_stored(client, sql):
    before = await rows(sql)

    for text in (*ODD, "é" * 8, "９" * 8, "\ud800" * 8, "a" * 7 + "\0", "a" * 256, "a" * 100_000):
        answer = await execute(client, REGISTER, {"input": factories.team(1, idempotencyKey=text)})
        check(answer)
        assert answer.json()["errors"][0]["extensions"]["code"] in TOO_LONG
        found = headers_of(text)
        if found is not None and text.strip(" \t"):
            answer = await execute(
                client, REGISTER, {"input": factories.team(1)}, Idempotency_Key=found["plain"]
            )
            check(answer)
            assert answer.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"

    assert await rows(sql) == before


@pytest.mark.parametrize("path", ["/uploads/", "/files/", "/exports/"])
async def test_hostile_texts_as_links_are_refused(client, services, path):
    signed = sign(services.secrets, "another purpose", ["a", 1])

    for text in odd_texts(signed):
        written = quote(text.encode("utf-8", "surrogatepass"), safe="")[:8_000]
        answer = await client.get(path + written)
        check(answer)
        assert answer.status_code in {400, 404, 405}


async def test_metrics_token_is_compared_as_bytes(settings_with, database, database_url):
    token = "a token of the monitoring system, é"
    async with app_client(settings_with(metrics_token=token), database_url) as client:
        for text in odd_texts(token):
            found = headers_of(text)
            if found is not None:
                answer = await client.get("/metrics", headers={"Authorization": found["bearer"]})
                assert answer.status_code == (200 if text == token else 401)
        right = {"Authorization": b"Bearer " + token.encode()}
        assert (await client.get("/metrics", headers=right)).status_code == 200


async def test_only_signed_values_are_read(services):
    signed = sign(services.secrets, "a purpose", ["a", 1])

    assert verify_signed(services.secrets, "a purpose", signed) == ["a", 1]
    assert verify_signed(services.secrets, "another", signed) is None
    for text in odd_texts(signed):
        assert verify_signed(services.secrets, "a purpose", text) is None


async def test_secrets_can_be_compared_with_any_text(services):
    team_id = new_id()
    token = manage_token(services.secrets, team_id)

    assert verify_manage_token(services.secrets, token)
    for text in odd_texts(token):
        assert not verify_manage_token(services.secrets, text)
    for text in ODD:
        assert constant_time_equal(text, text)
        assert not constant_time_equal(text, f"{text}x")


async def test_use_cases_refuse_hostile_texts_with_domain_errors(services):
    owner = await new_caller(services, Role.OWNER)
    link, _ = signed_links.sign_link(services, owner, exports.LINK_PURPOSE, "CSV", "{}")

    for text in odd_texts(link):
        with pytest.raises(NotFound):
            signed_links.read_link(services, exports.LINK_PURPOSE, text)
        with pytest.raises((NotFound, UploadExpired)):
            uploads.read_ticket(services, text)
    for text in odd_texts(DECOY):
        with pytest.raises(Unauthenticated):
            await captain_access.my_team(services, text)
        with pytest.raises(Unauthenticated):
            await accounts.authenticate(services, text)


async def test_totp_codes_can_be_compared_with_any_text(services):
    record = await new_organiser(services)
    account = await totp.require_own_account(
        services, replace(await new_caller(services, Role.VIEWER), organiser_id=record.id)
    )
    account = replace(account, totp_salt=b"x" * 16)

    for text in odd_texts("123456"):
        step = totp.matching_step(services.secrets, account, text, datetime.now(UTC))
        assert step is None or text.strip(" \t\n\r-") == "123456"


async def test_hostile_totp_codes_open_no_session(services, sql):
    await new_organiser(services)
    await sql.execute("UPDATE organiser SET totp_salt = $1, totp_confirmed_at = now()", b"x" * 16)

    for text in odd_texts("123456"):
        with pytest.raises(Unauthenticated):
            await accounts.sign_in(
                services, email=role_email(Role.OWNER), password=PASSWORD, code=text
            )

    assert await sql.fetchval("SELECT count(*) FROM organiser_session") == 0


@pytest.mark.parametrize("part", ["timestamp", "nonce", "signature"])
async def test_hostile_signatures_are_refused(services, part):
    token_id = UUID(HEX)
    request = SignedRequest(
        method="POST",
        target="/graphql?é=\udcff".encode("utf-8", "surrogatepass").decode("latin-1"),
        timestamp=str(int(services.clock().timestamp())),
        nonce="a" * 16,
        signature="",
        body=b"{}",
    )
    secret = request_signing.signing_secret(services.secrets, token_id)
    request = replace(request, signature=request_signing.compute_signature(secret, request))

    for text in odd_texts(getattr(request, part)):
        if text.lower() == getattr(request, part):
            continue
        with pytest.raises(DomainError) as refused:
            await request_signing.require_signature(
                services, token_id, replace(request, **{part: text})
            )
        assert isinstance(refused.value, Unauthenticated)


async def test_hostile_cursors_are_refused(client):
    data(await execute(client, REGISTER, {"input": factories.team(1)}))
    document = "query C($after: String) { churches(after: $after) { pageInfo { endCursor } } }"
    real = data(await execute(client, document))["churches"]["pageInfo"]["endCursor"]
    values = ["\ud800", "\0", "é", 2**70, -1, 1.5, None, True, [], {}, [[]], "a" * 100_000, "５"]
    written = [
        base64.urlsafe_b64encode(json.dumps(["church", *parts]).encode()).decode()
        for value in values
        for parts in ([value, value], ["CSI", value], [value, HEX], [value])
    ]
    bodies = [
        base64.urlsafe_b64encode(body).decode() for body in (b"5", b"{}", b"null", b"[]", b"\xff")
    ]

    for text in (*odd_texts(real), *written, *bodies):
        answer = await execute(client, document, {"after": text})
        check(answer)
        for error in answer.json().get("errors", ()):
            assert error["extensions"]["code"] in TOO_LONG


@pytest.mark.parametrize("name", ["query", "operationName", "documentId"])
async def test_hostile_operation_names_are_refused(client, name):
    for text in odd_texts("Register"):
        body = {"query": PUBLIC, name: text}
        if name == "documentId":
            body = {name: text, "extensions": {"persistedQuery": {"sha256Hash": text}}}
        answer = await client.post(
            "/graphql",
            content=json.dumps(body),
            headers={"Content-Type": "application/json"},
        )
        check(answer)
        assert answer.status_code in {200, 400, 413}
