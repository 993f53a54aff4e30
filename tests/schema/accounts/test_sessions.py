"""Accounts, sessions and second factors over GraphQL."""

from datetime import UTC, datetime, timedelta

import httpx
import pyotp
import pytest

from domain.auth.roles import Role
from resolvers.accounts import sessions as accounts
from tests.accounts import (
    PASSWORD,
    SIGN_IN,
    bearer_headers,
    new_organiser,
    new_session,
    with_real_clock,
)
from tests.graphql_client import check_envelope, data, error_extensions, execute

ME = "{ me { id email accessRole isTotpEnabled createdAt lastSignInAt } }"
SIGN_OUT = """mutation ($input: SignOutInput!) {
  signOut(input: $input) { organiser { email } }
}"""
INVITE = """mutation ($input: InviteOrganiserInput!) {
  inviteOrganiser(input: $input) { invitationToken expiresAt organiser { id email accessRole } }
}"""
ACCEPT = """mutation ($input: AcceptInvitationInput!) {
  acceptInvitation(input: $input) { organiser { id email accessRole } }
}"""
SET_ROLE = """mutation ($input: SetOrganiserRoleInput!) {
  setOrganiserRole(input: $input) { organiser { email accessRole } }
}"""
CREATE_TOKEN = """mutation ($input: CreateApiTokenInput!) {
  createApiToken(input: $input) { token apiToken { id name accessRole expiresAt lastUsedAt } }
}"""
REVOKE_TOKEN = """mutation ($input: RevokeApiTokenInput!) {
  revokeApiToken(input: $input) { apiToken { id name } }
}"""
REVOKE_SESSION = """mutation ($input: RevokeSessionInput!) {
  revokeSession(input: $input) { session { id isCurrent } }
}"""
ENABLE_TOTP = """mutation ($input: EnableTotpInput!) {
  enableTotp(input: $input) { provisioningUri }
}"""
CONFIRM_TOTP = """mutation ($input: ConfirmTotpInput!) {
  confirmTotp(input: $input) { recoveryCodes organiser { isTotpEnabled } }
}"""
DISABLE_TOTP = """mutation ($input: DisableTotpInput!) {
  disableTotp(input: $input) { organiser { isTotpEnabled } }
}"""

OF_ANOTHER = """query ($id: ID) {
  sessions(organiserId: $id) { id }
  apiTokens(organiserId: $id) { id }
}"""


async def do(client, document: str, headers: dict[str, str] | None = None, **values):
    return await execute(client, document, {"input": values}, **headers or {})


async def sign_in(client, email="owner@example.org", password=PASSWORD, **values):
    return await do(client, SIGN_IN, email=email, password=password, **values)


def with_token(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_organiser_signs_in_reads_me_and_signs_out(client, services):
    made = await new_organiser(services, Role.REVIEWER)
    before = datetime.now(UTC)

    payload = data(await sign_in(client, "Reviewer@Example.org"))["signIn"]
    headers = with_token(payload["token"])
    me = data(await execute(client, ME, **headers))["me"]

    assert payload["token"].startswith("ics_")
    left = datetime.fromisoformat(payload["expiresAt"]) - before
    assert timedelta(days=7) <= left < timedelta(days=7, minutes=1)
    assert me == payload["organiser"]
    assert (me["id"], me["email"], me["accessRole"], me["isTotpEnabled"]) == (
        made.id.hex,
        "reviewer@example.org",
        "REVIEWER",
        False,
    )
    assert datetime.fromisoformat(me["lastSignInAt"]) >= before
    assert data(await do(client, SIGN_OUT, headers)) == {
        "signOut": {"organiser": {"email": "reviewer@example.org"}}
    }
    assert error_extensions(await execute(client, ME, **headers))["code"] == "UNAUTHENTICATED"


async def test_unknown_organiser_and_wrong_password_get_the_same_error(client, services):
    await new_organiser(services)

    wrong = await sign_in(client, password="another password")
    unknown = await sign_in(client, email="nobody@example.org")

    bodies = []
    for answer in (wrong, unknown):
        assert answer.status_code == 200
        assert error_extensions(answer)["code"] == "SIGN_IN_FAILED"
        body = answer.json()
        del body["errors"][0]["extensions"]["requestId"]
        bodies.append(body)
    assert bodies[0] == bodies[1]
    assert bodies[0]["data"] == {"signIn": None}


def aliases(count: int, password: str) -> str:
    fields = (
        f's{number}: signIn(input: {{email: "owner@example.org", password: "{password}"}})'
        " { expiresAt }"
        for number in range(count)
    )
    return f"mutation {{ {' '.join(fields)} }}"


async def test_every_sign_in_of_a_document_counts(client, services, sql):
    await new_organiser(services)

    await execute(client, aliases(3, "another password"))
    answer = await execute(client, aliases(10, "another password"))

    body = answer.json()
    check_envelope(body)
    assert [error["extensions"]["code"] for error in body["errors"]] == [
        *["SIGN_IN_FAILED"] * 7,
        *["RATE_LIMITED"] * 3,
    ]
    assert body["errors"][-1]["extensions"]["retryAfterSeconds"] in range(880, 901)
    right = error_extensions(await sign_in(client))
    assert (right["code"], right["retryable"]) == ("RATE_LIMITED", True)
    assert await sql.fetchval("SELECT count(*) FROM organiser_session") == 0


async def test_successful_sign_ins_do_not_count(client, services, sql):
    await new_organiser(services)

    for _ in range(3):
        data(await execute(client, aliases(9, PASSWORD)))

    assert await sql.fetchval("SELECT count(*) FROM organiser_session") == 27


async def test_invited_organiser_accepts_and_signs_in(client, services):
    owner = await bearer_headers(services)

    invited = data(await do(client, INVITE, owner, email="New@Example.org", role="VIEWER"))
    payload = invited["inviteOrganiser"]
    accepted = data(
        await do(client, ACCEPT, token=payload["invitationToken"], password="a password of mine")
    )

    assert accepted["acceptInvitation"]["organiser"] == payload["organiser"]
    assert payload["organiser"]["email"] == "new@example.org"
    signed = data(await sign_in(client, "new@example.org", "a password of mine"))
    assert signed["signIn"]["organiser"]["accessRole"] == "VIEWER"
    again = await do(
        client, ACCEPT, token=payload["invitationToken"], password="a password of mine"
    )
    assert error_extensions(again)["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("too short", "PASSWORD_LENGTH"),
        ("", "PASSWORD_LENGTH"),
        ("long" * 33, "PASSWORD_LENGTH"),
        ("password1234", "PASSWORD_COMMON"),
        ("zzzzzzzzzzzzz", "PASSWORD_COMMON"),
        ("New@Example.org", "PASSWORD_IS_EMAIL"),
    ],
)
async def test_weak_password_of_an_invitation_is_an_issue(client, services, sql, password, code):
    owner = await bearer_headers(services)
    invited = data(await do(client, INVITE, owner, email="new@example.org", role="VIEWER"))
    token = invited["inviteOrganiser"]["invitationToken"]

    refusal = error_extensions(await do(client, ACCEPT, token=token, password=password))

    assert refusal["code"] == "VALIDATION_FAILED"
    assert [(issue["pointer"], issue["code"]) for issue in refusal["issues"]] == [
        ("/input/password", code)
    ]
    assert await sql.fetchval("SELECT count(*) FROM organiser WHERE password_hash IS NULL") == 1
    data(await do(client, ACCEPT, token=token, password="a password of mine"))


async def test_invitation_to_an_invalid_address_is_an_issue_at_its_path(client, services, sql):
    owner = await bearer_headers(services)

    answer = await do(client, INVITE, owner, email=["x"], role="VIEWER")

    (issue,) = error_extensions(answer)["issues"]
    assert (issue["pointer"], issue["code"]) == ("/input/email", "EMAIL_INVALID")
    assert await sql.fetchval("SELECT count(*) FROM organiser") == 1


async def test_owner_changes_roles_and_lists_organisers(client, services):
    owner = await bearer_headers(services)
    viewer = await new_organiser(services, Role.VIEWER)

    changed = data(await do(client, SET_ROLE, owner, id=viewer.id.hex, role="REVIEWER"))
    listed = data(
        await execute(client, "{ organisers { email accessRole lastSignInAt } }", **owner)
    )

    assert changed["setOrganiserRole"]["organiser"]["accessRole"] == "REVIEWER"
    assert [(item["email"], item["accessRole"]) for item in listed["organisers"]] == [
        ("owner@example.org", "OWNER"),
        ("viewer@example.org", "REVIEWER"),
    ]
    assert listed["organisers"][1]["lastSignInAt"] is None


@pytest.mark.parametrize("id", ["", "x", "ICCT-001", "0" * 32])
async def test_unknown_ids_of_accounts_are_not_found(client, services, id):
    owner = await bearer_headers(services)

    for document, values in (
        (SET_ROLE, {"role": "VIEWER"}),
        (REVOKE_SESSION, {}),
        (REVOKE_TOKEN, {}),
    ):
        answer = await do(client, document, owner, id=id, **values)
        assert error_extensions(answer)["code"] == "NOT_FOUND"


async def test_api_token_authenticates_until_it_is_revoked(client, services):
    owner = await bearer_headers(services)

    created = await do(client, CREATE_TOKEN, owner, name="export", role="REVIEWER")
    payload = data(created)["createApiToken"]
    script = with_token(payload["token"])
    me = data(await execute(client, ME, **script))["me"]
    listed = data(await execute(client, "{ apiTokens { id name accessRole lastUsedAt } }", **owner))

    assert me["email"] == "owner@example.org"
    assert payload["apiToken"]["lastUsedAt"] is None
    (token,) = listed["apiTokens"]
    assert (token["id"], token["name"], token["accessRole"]) == (
        payload["apiToken"]["id"],
        "export",
        "REVIEWER",
    )
    assert token["lastUsedAt"] is not None
    assert error_extensions(await do(client, INVITE, script, email="x@example.org", role="VIEWER"))[
        "code"
    ] == ("FORBIDDEN")

    data(await do(client, REVOKE_TOKEN, owner, id=token["id"]))

    answer = await execute(client, ME, **script)
    assert (answer.status_code, error_extensions(answer)["code"]) == (401, "UNAUTHENTICATED")


async def test_sessions_are_listed_and_revoked(client, services):
    owner = await bearer_headers(services)
    other = await accounts.sign_in(
        with_real_clock(services), email="owner@example.org", password=PASSWORD
    )
    listing = "{ sessions { id isCurrent createdAt lastUsedAt expiresAt } }"

    listed = data(await execute(client, listing, **owner))["sessions"]
    ended = data(await do(client, REVOKE_SESSION, owner, id=other.session.id.hex))

    assert [(item["id"] == other.session.id.hex, item["isCurrent"]) for item in listed] == [
        (True, False),
        (False, True),
    ]
    assert ended["revokeSession"]["session"] == {"id": other.session.id.hex, "isCurrent": False}
    assert len(data(await execute(client, listing, **owner))["sessions"]) == 1
    refusal = await execute(client, ME, **with_token(other.token))
    assert refusal.status_code == 401


async def test_owner_lists_sessions_and_tokens_of_another_organiser(client, services):
    owner = await bearer_headers(services)
    viewer = await new_session(with_real_clock(services), Role.VIEWER)
    made = await do(client, CREATE_TOKEN, with_token(viewer.token), name="x", role="VIEWER")

    answer = await execute(client, OF_ANOTHER, {"id": viewer.organiser.id.hex}, **owner)

    assert data(answer) == {
        "sessions": [{"id": viewer.session.id.hex}],
        "apiTokens": [{"id": data(made)["createApiToken"]["apiToken"]["id"]}],
    }


async def test_second_factor_is_enabled_used_and_disabled(client, services):
    owner = await bearer_headers(services)
    uri = data(await do(client, ENABLE_TOTP, owner, password=PASSWORD))["enableTotp"]
    phone = pyotp.parse_uri(uri["provisioningUri"])
    now = datetime.now(UTC)

    confirmed = data(await do(client, CONFIRM_TOTP, owner, code=phone.at(now)))["confirmTotp"]
    without = error_extensions(await sign_in(client))
    with_code = data(await sign_in(client, code=phone.at(now + timedelta(seconds=30))))
    with_recovery_code = data(await sign_in(client, code=confirmed["recoveryCodes"][9]))
    disabled = data(await do(client, DISABLE_TOTP, owner, code=confirmed["recoveryCodes"][0]))

    assert confirmed["organiser"] == {"isTotpEnabled": True}
    assert len(confirmed["recoveryCodes"]) == 10
    assert (without["code"], without["details"]) == (
        "SIGN_IN_FAILED",
        {"secondFactorRequired": True},
    )
    assert with_code["signIn"]["organiser"]["isTotpEnabled"]
    assert with_recovery_code["signIn"]["organiser"]["isTotpEnabled"]
    assert disabled["disableTotp"]["organiser"] == {"isTotpEnabled": False}
    data(await sign_in(client))


async def test_totp_guesses_of_a_session_count_as_failed_sign_ins(client, services):
    owner = await bearer_headers(services)

    guesses = [
        error_extensions(await do(client, document, owner, **value))["code"]
        for document, value in (
            [(ENABLE_TOTP, {"password": "another password"})] * 5
            + [(DISABLE_TOTP, {"code": "000000"})] * 6
        )
    ]

    assert guesses == ["FORBIDDEN"] * 10 + ["RATE_LIMITED"]
    assert error_extensions(await sign_in(client))["code"] == "RATE_LIMITED"


async def test_sign_in_is_not_possible_by_get(client, services):
    await new_organiser(services)
    query = SIGN_IN.replace("$input", f'{{email: "owner@example.org", password: "{PASSWORD}"}}')
    query = query.replace(query[: query.index("{\n")], "mutation SignIn ", 1)

    answer = await client.get("/graphql", params={"query": query})

    assert answer.status_code == httpx.codes.METHOD_NOT_ALLOWED
    assert "set-cookie" not in answer.headers
