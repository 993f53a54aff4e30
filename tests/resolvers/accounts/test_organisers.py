"""Creating, inviting and changing organisers."""

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


async def counted(sql) -> tuple[int, int]:
    return (
        await sql.fetchval("SELECT count(*) FROM organiser"),
        await sql.fetchval("SELECT count(*) FROM audit_event"),
    )


async def test_organiser_is_created_once(services, sql):
    made = await new_organiser(services, Role.VIEWER, "Some.Body@Example.org")

    with pytest.raises(BadUserInput, match="already"):
        await new_organiser(services, Role.OWNER, "some.body@example.ORG")

    row = await sql.fetchrow(ROWS)
    assert tuple(row) == (made.id, "some.body@example.org", "VIEWER", False)
    assert await counted(sql) == (1, 1)
    assert tuple(await sql.fetchrow(LAST_EVENT)) == (
        "system",
        "organiser.created",
        f'{{"role": "VIEWER", "organiser": "{made.id.hex}"}}',
    )


@pytest.mark.parametrize(
    ("email", "password", "error"),
    [
        ("nobody", PASSWORD, InvalidForm),
        ("somebody@example.org", "too short", InvalidForm),
        ("somebody@example.org", "password1234", InvalidForm),
    ],
)
async def test_weak_passwords_and_wrong_addresses_make_no_organiser(
    services, sql, email, password, error
):
    with pytest.raises(error):
        await organisers.create(services, SYSTEM, email=email, role=Role.OWNER, password=password)

    assert await counted(sql) == (0, 0)


async def test_invited_organiser_chooses_a_password_once(services, sql):
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


async def test_invitation_is_stored_as_a_hash_and_on_record_without_address(services, sql):
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


async def test_whoever_was_invited_cannot_sign_in_yet(services):
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


async def test_weak_password_does_not_use_the_invitation_up(services):
    owner = await new_caller(services)
    invitation = await organisers.invite(services, owner, email="new@example.org", role=Role.VIEWER)

    with pytest.raises(InvalidForm):
        await organisers.accept_invitation(services, token=invitation.token, password="short")

    await organisers.accept_invitation(services, token=invitation.token, password=PASSWORD)


async def test_invitation_that_two_redeem_at_once_counts_once(services):
    owner = await new_caller(services)
    invitation = await organisers.invite(services, owner, email="new@example.org", role=Role.VIEWER)

    ends = await asyncio.gather(
        *(
            organisers.accept_invitation(services, token=invitation.token, password=password)
            for password in (PASSWORD, "another long password")
        ),
        return_exceptions=True,
    )

    assert sorted(type(end).__name__ for end in ends) == ["OrganiserRecord", "Unauthenticated"]


async def test_inviting_anew_makes_the_token_before_void(services, sql):
    owner = await new_caller(services)
    first = await organisers.invite(services, owner, email="new@example.org", role=Role.VIEWER)

    again = await organisers.invite(services, owner, email="new@example.org", role=Role.REVIEWER)

    assert again.organiser == replace(first.organiser, role=Role.REVIEWER)
    with pytest.raises(Unauthenticated):
        await organisers.accept_invitation(services, token=first.token, password=PASSWORD)
    await organisers.accept_invitation(services, token=again.token, password=PASSWORD)


async def test_organiser_who_has_come_is_not_invited_again(services, sql):
    owner = await new_caller(services)
    before = await sql.fetchrow("SELECT * FROM organiser")

    with pytest.raises(BadUserInput, match="already"):
        await organisers.invite(services, owner, email="owner@example.org", role=Role.VIEWER)

    assert await sql.fetchrow("SELECT * FROM organiser") == before


async def test_new_role_counts_for_sessions_and_api_tokens_that_are_open(services):
    owner = await new_caller(services)
    other = await new_session(services, Role.REVIEWER)
    found = await accounts.authenticate(services, other.token)
    script = await api_tokens.create(services, found, name="x", role=Role.REVIEWER, days=1)

    changed = await organisers.set_role(services, owner, other.organiser.id, Role.VIEWER)

    assert changed.role == Role.VIEWER
    for token in (other.token, script.token):
        assert (await accounts.authenticate(services, token)).role == Role.VIEWER
    await organisers.set_role(services, owner, other.organiser.id, Role.OWNER)
    assert (await accounts.authenticate(services, other.token)).role == Role.OWNER
    assert (await accounts.authenticate(services, script.token)).role == Role.REVIEWER


async def test_change_of_role_is_on_record(services, sql):
    owner = await new_caller(services)
    other = await new_organiser(services, Role.VIEWER)

    await organisers.set_role(services, owner, other.id, Role.REVIEWER)

    assert tuple(await sql.fetchrow(LAST_EVENT)) == (
        owner.actor,
        "organiser.role_changed",
        f'{{"role": ["VIEWER", "REVIEWER"], "organiser": "{other.id.hex}"}}',
    )


async def test_last_owner_stays_one(services, sql):
    owner = await new_caller(services)
    await organisers.invite(services, owner, email="new@example.org", role=Role.OWNER)
    before = await counted(sql)

    with pytest.raises(Forbidden, match="last OWNER"):
        await organisers.set_role(services, owner, owner.organiser_id, Role.REVIEWER)

    assert await counted(sql) == before
    assert await sql.fetchval("SELECT count(*) FROM organiser WHERE role = 'OWNER'") == 2


async def test_two_owners_who_demote_each_other_leave_one(services, sql):
    one = await new_caller(services)
    other = await new_organiser(services, Role.OWNER, "other@example.org")

    ends = await asyncio.gather(
        organisers.set_role(services, one, other.id, Role.VIEWER),
        organisers.set_role(services, one, one.organiser_id, Role.VIEWER),
        return_exceptions=True,
    )

    assert sorted(type(end).__name__ for end in ends) == ["Forbidden", "OrganiserRecord"]
    assert await sql.fetchval("SELECT count(*) FROM organiser WHERE role = 'OWNER'") == 1


async def test_role_of_nobody_is_not_changed(services, sql):
    owner = await new_caller(services)
    before = await counted(sql)

    with pytest.raises(NotFound):
        await organisers.set_role(services, owner, owner.session_id, Role.VIEWER)

    assert await counted(sql) == before


async def test_reset_of_a_password_ends_what_was_opened_with_it(services, sql):
    opened = await new_session(services)
    other = await new_session(services, Role.VIEWER)
    found = await accounts.authenticate(services, opened.token)
    script = await api_tokens.create(services, found, name="x", role=Role.OWNER, days=1)

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
async def test_reset_of_a_password_can_take_the_second_factor_away(services, sql, keep_totp):
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


async def test_reset_for_an_unknown_address_is_refused(services, sql):
    with pytest.raises(NotFound):
        await organisers.reset_password(
            services, SYSTEM, email="nobody@example.org", password=PASSWORD
        )

    assert await counted(sql) == (0, 0)


async def test_owner_sees_all_organisers_by_address(services):
    owner = await new_caller(services)
    await new_organiser(services, Role.VIEWER)
    await organisers.invite(services, owner, email="a@example.org", role=Role.REVIEWER)

    found = await organisers.list_organisers(services, owner)

    assert [(one.email, one.role) for one in found] == [
        ("a@example.org", Role.REVIEWER),
        ("owner@example.org", Role.OWNER),
        ("viewer@example.org", Role.VIEWER),
    ]


async def test_nobody_and_lower_roles_leave_everything_as_it_is(services, sql):
    owner = await new_organiser(services)
    callers = [ANONYMOUS] + [await new_caller(services, role) for role in list(Role)[1:]]
    before = await counted(sql)

    for found in callers:
        refusal = Unauthenticated if found == ANONYMOUS else Forbidden
        for attempt in (
            organisers.list_organisers(services, found),
            organisers.invite(services, found, email="x@example.org", role=Role.VIEWER),
            organisers.set_role(services, found, owner.id, Role.VIEWER),
            organisers.create(
                services, found, email="x@example.org", role=Role.VIEWER, password=PASSWORD
            ),
            organisers.reset_password(
                services, found, email="owner@example.org", password=PASSWORD
            ),
        ):
            with pytest.raises(refusal):
                await attempt

    assert await counted(sql) == before
