"""Creation, invitation and changes of organisers."""

import asyncio
from dataclasses import replace

import pytest

from domain.auth.roles import ANONYMOUS, SYSTEM, Role
from domain.errors.exceptions import BadUserInput, Forbidden, InvalidForm, NotFound, Unauthenticated
from resolvers.accounts import api_tokens, organisers, totp
from resolvers.accounts import sessions as accounts
from tests.accounts import PASSWORD, new_caller, new_organiser, new_session

ROWS = "SELECT id, email, role, password_hash IS NULL AS is_invited FROM organiser ORDER BY email"
LAST_EVENT = "SELECT actor, action, changes FROM audit_event ORDER BY id DESC LIMIT 1"


async def row_counts(sql) -> tuple[int, int]:
    return (
        await sql.fetchval("SELECT count(*) FROM organiser"),
        await sql.fetchval("SELECT count(*) FROM audit_event"),
    )


async def test_second_organiser_with_same_email_is_refused(services, sql):
    created = await new_organiser(services, Role.VIEWER, "Some.Body@Example.org")

    with pytest.raises(BadUserInput, match="already"):
        await new_organiser(services, Role.OWNER, "some.body@example.ORG")

    row = await sql.fetchrow(ROWS)
    assert tuple(row) == (created.id, "some.body@example.org", "VIEWER", False)
    assert await row_counts(sql) == (1, 1)
    assert tuple(await sql.fetchrow(LAST_EVENT)) == (
        "system",
        "organiser.created",
        f'{{"role": "VIEWER", "organiser": "{created.id.hex}"}}',
    )


@pytest.mark.parametrize(
    ("email", "password", "error"),
    [
        ("nobody", PASSWORD, InvalidForm),
        ("somebody@example.org", "too short", InvalidForm),
        ("somebody@example.org", "password1234", InvalidForm),
    ],
)
async def test_weak_password_or_invalid_email_creates_no_organiser(
    services, sql, email, password, error
):
    with pytest.raises(error):
        await organisers.create(services, SYSTEM, email=email, role=Role.OWNER, password=password)

    assert await row_counts(sql) == (0, 0)


async def test_invitation_is_accepted_once(services, sql):
    owner = await new_caller(services)

    invitation = await organisers.invite(
        services, owner, email="New@Example.org", role=Role.REVIEWER
    )
    accepted = await organisers.accept_invitation(
        services, token=invitation.token, password=PASSWORD
    )

    assert invitation.token.startswith("ici_")
    assert accepted == invitation.organiser
    opened = await accounts.sign_in(services, email="new@example.org", password=PASSWORD)
    assert opened.organiser.role == Role.REVIEWER
    with pytest.raises(Unauthenticated, match="used before"):
        await organisers.accept_invitation(
            services, token=invitation.token, password="another long password"
        )
    await accounts.sign_in(services, email="new@example.org", password=PASSWORD)


async def test_invitation_is_stored_as_hash_and_audited_without_email(services, sql):
    owner = await new_caller(services)

    invitation = await organisers.invite(
        services, owner, email="new@example.org", role=Role.REVIEWER
    )

    row = await sql.fetchrow("SELECT * FROM organiser WHERE email = 'new@example.org'")
    assert invitation.token not in str(row)
    assert len(row["invitation_hash"]) == 32
    event = await sql.fetchrow(LAST_EVENT)
    assert (event["actor"], event["action"]) == (owner.actor, "organiser.invited")
    assert "@" not in event["changes"]


async def test_invited_organiser_cannot_sign_in_before_accepting(services):
    owner = await new_caller(services)
    await organisers.invite(services, owner, email="new@example.org", role=Role.VIEWER)

    for password in ("", PASSWORD):
        with pytest.raises(Unauthenticated, match="E-mail or password is wrong"):
            await accounts.sign_in(services, email="new@example.org", password=password)


async def test_invitation_expires(services, clock, sql):
    owner = await new_caller(services)
    invitation = await organisers.invite(services, owner, email="new@example.org", role=Role.VIEWER)
    clock.advance(days=7)

    with pytest.raises(Unauthenticated, match="has expired"):
        await organisers.accept_invitation(services, token=invitation.token, password=PASSWORD)

    assert invitation.expires_at == clock.now
    assert await sql.fetchval("SELECT count(*) FROM organiser WHERE password_hash IS NULL") == 1


async def test_weak_password_does_not_use_up_the_invitation(services):
    owner = await new_caller(services)
    invitation = await organisers.invite(services, owner, email="new@example.org", role=Role.VIEWER)

    with pytest.raises(InvalidForm):
        await organisers.accept_invitation(services, token=invitation.token, password="short")

    await organisers.accept_invitation(services, token=invitation.token, password=PASSWORD)


async def test_concurrent_acceptances_of_one_invitation_succeed_once(services):
    owner = await new_caller(services)
    invitation = await organisers.invite(services, owner, email="new@example.org", role=Role.VIEWER)

    results = await asyncio.gather(
        *(
            organisers.accept_invitation(services, token=invitation.token, password=password)
            for password in (PASSWORD, "another long password")
        ),
        return_exceptions=True,
    )

    assert sorted(type(end).__name__ for end in results) == ["OrganiserRecord", "Unauthenticated"]


async def test_new_invitation_replaces_the_former_token(services, sql):
    owner = await new_caller(services)
    first = await organisers.invite(services, owner, email="new@example.org", role=Role.VIEWER)

    again = await organisers.invite(services, owner, email="new@example.org", role=Role.REVIEWER)

    assert again.organiser == replace(first.organiser, role=Role.REVIEWER)
    with pytest.raises(Unauthenticated):
        await organisers.accept_invitation(services, token=first.token, password=PASSWORD)
    await organisers.accept_invitation(services, token=again.token, password=PASSWORD)


async def test_organiser_with_a_password_is_not_invited_again(services, sql):
    owner = await new_caller(services)
    before = await sql.fetchrow("SELECT * FROM organiser")

    with pytest.raises(BadUserInput, match="already"):
        await organisers.invite(services, owner, email="owner@example.org", role=Role.VIEWER)

    assert await sql.fetchrow("SELECT * FROM organiser") == before


async def test_new_role_applies_to_open_sessions_and_api_tokens(services):
    owner = await new_caller(services)
    other = await new_session(services, Role.REVIEWER)
    caller = await accounts.authenticate(services, other.token)
    script = await api_tokens.create(services, caller, name="x", role=Role.REVIEWER, days=1)

    changed = await organisers.set_role(services, owner, other.organiser.id, Role.VIEWER)

    assert changed.role == Role.VIEWER
    for token in (other.token, script.token):
        assert (await accounts.authenticate(services, token)).role == Role.VIEWER
    await organisers.set_role(services, owner, other.organiser.id, Role.OWNER)
    assert (await accounts.authenticate(services, other.token)).role == Role.OWNER
    assert (await accounts.authenticate(services, script.token)).role == Role.REVIEWER


async def test_role_change_is_audited(services, sql):
    owner = await new_caller(services)
    other = await new_organiser(services, Role.VIEWER)

    await organisers.set_role(services, owner, other.id, Role.REVIEWER)

    assert tuple(await sql.fetchrow(LAST_EVENT)) == (
        owner.actor,
        "organiser.role_changed",
        f'{{"role": ["VIEWER", "REVIEWER"], "organiser": "{other.id.hex}"}}',
    )


async def test_repeated_role_change_is_not_recorded_again(services, sql):
    owner = await new_caller(services)
    other = await new_organiser(services, Role.VIEWER)
    first = await organisers.set_role(services, owner, other.id, Role.REVIEWER)
    before = await row_counts(sql)

    again = await organisers.set_role(services, owner, other.id, Role.REVIEWER)
    same = await organisers.set_role(services, owner, owner.organiser_id, Role.OWNER)

    assert again == first
    assert same.role == Role.OWNER
    assert await row_counts(sql) == before


async def test_last_owner_cannot_be_demoted(services, sql):
    owner = await new_caller(services)
    await organisers.invite(services, owner, email="new@example.org", role=Role.OWNER)
    before = await row_counts(sql)

    with pytest.raises(Forbidden, match="last OWNER"):
        await organisers.set_role(services, owner, owner.organiser_id, Role.REVIEWER)

    assert await row_counts(sql) == before
    assert await sql.fetchval("SELECT count(*) FROM organiser WHERE role = 'OWNER'") == 2


async def test_owners_who_demote_each_other_leave_one_owner(services, sql):
    caller = await new_caller(services)
    other = await new_organiser(services, Role.OWNER, "other@example.org")

    results = await asyncio.gather(
        organisers.set_role(services, caller, other.id, Role.VIEWER),
        organisers.set_role(services, caller, caller.organiser_id, Role.VIEWER),
        return_exceptions=True,
    )

    assert sorted(type(end).__name__ for end in results) == ["Forbidden", "OrganiserRecord"]
    assert await sql.fetchval("SELECT count(*) FROM organiser WHERE role = 'OWNER'") == 1


async def test_role_change_of_unknown_organiser_is_refused(services, sql):
    owner = await new_caller(services)
    before = await row_counts(sql)

    with pytest.raises(NotFound):
        await organisers.set_role(services, owner, owner.session_id, Role.VIEWER)

    assert await row_counts(sql) == before


async def test_password_reset_ends_sessions_and_api_tokens(services, sql):
    opened = await new_session(services)
    other = await new_session(services, Role.VIEWER)
    caller = await accounts.authenticate(services, opened.token)
    script = await api_tokens.create(services, caller, name="x", role=Role.OWNER, days=1)

    ended = await organisers.reset_password(
        services, SYSTEM, email="Owner@example.org", password="another long password"
    )

    assert (ended.sessions, ended.api_tokens) == (1, 1)
    for token in (opened.token, script.token):
        with pytest.raises(Unauthenticated):
            await accounts.authenticate(services, token)
    with pytest.raises(Unauthenticated):
        await accounts.sign_in(services, email="owner@example.org", password=PASSWORD)
    await accounts.sign_in(services, email="owner@example.org", password="another long password")
    assert (await accounts.authenticate(services, other.token)).role == Role.VIEWER
    assert "organiser.password_reset" in {
        row["action"] for row in await sql.fetch("SELECT action FROM audit_event")
    }


@pytest.mark.parametrize("keep_totp", [True, False])
async def test_password_reset_removes_the_second_factor_if_asked(services, sql, keep_totp):
    owner = await new_caller(services)
    await totp.propose(services, owner, PASSWORD)
    await sql.execute("UPDATE organiser SET totp_confirmed_at = now()")

    await organisers.reset_password(
        services, SYSTEM, email="owner@example.org", password=PASSWORD, keep_totp=keep_totp
    )

    row = await sql.fetchrow("SELECT * FROM organiser")
    assert (row["totp_salt"] is None, row["totp_confirmed_at"] is None) == (
        not keep_totp,
        not keep_totp,
    )


async def test_password_reset_for_unknown_email_is_refused(services, sql):
    with pytest.raises(NotFound):
        await organisers.reset_password(
            services, SYSTEM, email="nobody@example.org", password=PASSWORD
        )

    assert await row_counts(sql) == (0, 0)


async def test_owner_lists_all_organisers_by_email(services):
    owner = await new_caller(services)
    await new_organiser(services, Role.VIEWER)
    await organisers.invite(services, owner, email="a@example.org", role=Role.REVIEWER)

    result = await organisers.list_organisers(services, owner)

    assert [(item.email, item.role) for item in result] == [
        ("a@example.org", Role.REVIEWER),
        ("owner@example.org", Role.OWNER),
        ("viewer@example.org", Role.VIEWER),
    ]


async def test_anonymous_and_lower_roles_change_nothing(services, sql):
    owner = await new_organiser(services)
    callers = [ANONYMOUS] + [await new_caller(services, role) for role in list(Role)[1:]]
    before = await row_counts(sql)

    for caller in callers:
        refusal = Unauthenticated if caller == ANONYMOUS else Forbidden
        for attempt in (
            organisers.list_organisers(services, caller),
            organisers.invite(services, caller, email="x@example.org", role=Role.VIEWER),
            organisers.set_role(services, caller, owner.id, Role.VIEWER),
            organisers.create(
                services, caller, email="x@example.org", role=Role.VIEWER, password=PASSWORD
            ),
            organisers.reset_password(
                services, caller, email="owner@example.org", password=PASSWORD
            ),
        ):
            with pytest.raises(refusal):
                await attempt

    assert await row_counts(sql) == before
