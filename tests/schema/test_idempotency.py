"""Repeated mutations: with an idempotency key, at an old version, after other edits."""

import asyncio

import pytest

from domain.auth.roles import Role
from domain.teams.status import TeamAction
from schema import schema
from schema.idempotency import REPEAT_BEHAVIOUR, RepeatBehaviour
from tests import factories
from tests.accounts import bearer_headers
from tests.graphql_client import data, error_extensions, execute
from tests.schema.teams.test_decisions import decide, register

CORE = schema._schema
CREATE = """
mutation C($input: CreateApiTokenInput!) {
  createApiToken(input: $input) { token signingSecret replayed apiToken { id name } }
}
"""
INVITE = """
mutation I($input: InviteOrganiserInput!) {
  inviteOrganiser(input: $input) { invitationToken expiresAt replayed organiser { id email } }
}
"""
REVOKE = "mutation R($id: ID!) { revokeApiToken(input: {id: $id}) { apiToken { id } } }"
SEASON = """
mutation U($input: UpdateTournamentInput!) {
  updateTournament(input: $input) { tournament { name venue version } }
}
"""
TOKEN = {"name": "export", "role": "VIEWER", "isSigned": True}
GUEST = {"email": "guest@example.org", "role": "VIEWER"}
KEY = "a key of the test"


@pytest.fixture
async def owner(services) -> dict[str, str]:
    return await bearer_headers(services, Role.OWNER)


async def create(client, who, key: str | None = KEY, **changes) -> dict:
    headers = who | ({"Idempotency-Key": key} if key else {})
    answer = await execute(client, CREATE, {"input": TOKEN | changes}, **headers)
    return data(answer)["createApiToken"]


async def invite(client, who, key: str | None = KEY, **changes) -> dict:
    headers = who | ({"Idempotency-Key": key} if key else {})
    answer = await execute(client, INVITE, {"input": GUEST | changes}, **headers)
    return data(answer)["inviteOrganiser"]


async def rows(sql, table: str) -> int:
    return await sql.fetchval(f"SELECT count(*) FROM {table}")


async def test_repeated_key_returns_the_same_api_token(client, owner, sql):
    first = await create(client, owner)
    again = await create(client, owner)

    assert again == first | {"replayed": True}
    assert not first["replayed"]
    assert await rows(sql, "api_token") == 1
    count = "SELECT count(*) FROM audit_event WHERE action = 'api_token.created'"
    assert await sql.fetchval(count) == 1
    stored = await sql.fetch("SELECT * FROM api_token, idempotency_record")
    assert first["token"] not in str(stored)


async def test_api_token_created_with_a_key_authenticates(client, owner):
    token = (await create(client, owner, isSigned=False))["token"]

    answer = await execute(client, "{ me { email } }", Authorization=f"Bearer {token}")

    assert data(answer)["me"]["email"] == "owner@example.org"


async def test_request_without_a_key_creates_another_token(client, owner, sql):
    tokens = {(await create(client, owner, key=None))["token"] for _ in range(3)}

    assert len(tokens) == await rows(sql, "api_token") == 3


@pytest.mark.parametrize(
    "changes",
    [{"name": "other"}, {"role": "REVIEWER"}, {"expiresInDays": 1}, {"isSigned": False}],
    ids=str,
)
async def test_key_of_another_api_token_is_refused(client, owner, sql, changes):
    await create(client, owner)

    answer = await execute(client, CREATE, {"input": TOKEN | changes}, Idempotency_Key=KEY, **owner)

    assert error_extensions(answer)["code"] == "IDEMPOTENCY_KEY_REUSED"
    assert await rows(sql, "api_token") == 1


@pytest.mark.parametrize("key", ["short", "x" * 256, "tab\tinside the key"])
async def test_invalid_key_creates_nothing(client, owner, sql, key):
    for query, form in ((CREATE, TOKEN), (INVITE, GUEST)):
        answer = await execute(client, query, {"input": form}, Idempotency_Key=key, **owner)
        assert error_extensions(answer)["code"] == "BAD_USER_INPUT"

    assert await rows(sql, "api_token") == 0
    assert await rows(sql, "organiser") == 1


async def test_revoked_token_is_not_revived_by_its_key(client, owner, sql):
    made = await create(client, owner)
    data(await execute(client, REVOKE, {"id": made["apiToken"]["id"]}, **owner))

    answer = await execute(client, CREATE, {"input": TOKEN}, Idempotency_Key=KEY, **owner)

    assert error_extensions(answer)["code"] == "NOT_FOUND"
    assert await rows(sql, "api_token") == 0


async def test_expired_key_creates_another_token(client, owner, sql):
    made = await create(client, owner)
    data(await execute(client, REVOKE, {"id": made["apiToken"]["id"]}, **owner))
    await sql.execute("UPDATE idempotency_record SET expires_at = now()")

    other = await create(client, owner)

    assert other["token"] != made["token"]
    assert not other["replayed"]


async def test_expired_token_is_not_returned_again(client, owner, sql):
    await create(client, owner)
    await sql.execute("UPDATE api_token SET expires_at = now()")

    answer = await execute(client, CREATE, {"input": TOKEN}, Idempotency_Key=KEY, **owner)

    assert error_extensions(answer)["code"] == "NOT_FOUND"


async def test_organisers_do_not_share_keys(client, services, owner, sql):
    reviewer = await bearer_headers(services, Role.REVIEWER)

    mine, other = await create(client, owner), await create(client, reviewer)

    assert mine["token"] != other["token"]
    assert not other["replayed"]
    assert await rows(sql, "api_token") == 2


async def test_mutations_do_not_share_keys(client, owner, sql):
    await create(client, owner)
    await invite(client, owner)
    data(
        await execute(client, factories.REGISTER, {"input": factories.team()}, Idempotency_Key=KEY)
    )

    assert await rows(sql, "idempotency_record") == 3


async def test_concurrent_repeats_create_one_token(client, owner, sql):
    made = await asyncio.gather(*(create(client, owner) for _ in range(6)))
    invited = await asyncio.gather(*(invite(client, owner) for _ in range(6)))

    assert len({item["token"] for item in made}) == await rows(sql, "api_token") == 1
    assert len({entry["invitationToken"] for entry in invited}) == 1
    assert sorted(element["replayed"] for element in made) == [False] + [True] * 5
    assert sorted(one["replayed"] for one in invited) == [False] + [True] * 5


async def test_repeated_key_returns_the_same_invitation(client, owner, sql):
    first, again = await invite(client, owner), await invite(client, owner)

    assert again == first | {"replayed": True}
    count = "SELECT count(*) FROM audit_event WHERE action = 'organiser.invited'"
    assert await sql.fetchval(count) == 1


ENDS = {
    "used": "UPDATE organiser SET password_hash = 'x', invitation_hash = NULL,"
    " invitation_expires_at = NULL WHERE email = 'guest@example.org'",
    "expired": "UPDATE organiser SET invitation_expires_at = now()"
    " WHERE email = 'guest@example.org'",
    "gone": "DELETE FROM organiser WHERE email = 'guest@example.org'",
}


@pytest.mark.parametrize("end", ENDS)
async def test_expired_invitation_is_not_returned_again(client, owner, sql, end):
    await invite(client, owner)
    await sql.execute(ENDS[end])

    answer = await execute(client, INVITE, {"input": GUEST}, Idempotency_Key=KEY, **owner)

    assert error_extensions(answer)["code"] == "NOT_FOUND"


async def test_replaced_invitation_is_not_returned_again(client, owner, sql):
    first = await invite(client, owner)
    second = await invite(client, owner, key="another key")
    await sql.execute("UPDATE idempotency_record SET expires_at = now() WHERE key LIKE '%:a key%'")

    third = await invite(client, owner)

    assert len({item["invitationToken"] for item in (first, second, third)}) == 3
    answer = await execute(client, INVITE, {"input": GUEST}, Idempotency_Key="another key", **owner)
    assert error_extensions(answer)["code"] == "NOT_FOUND"


async def test_refused_invitation_does_not_use_up_the_key(client, owner):
    wrong = {"input": GUEST | {"email": "owner@example.org"}}
    answer = await execute(client, INVITE, wrong, Idempotency_Key=KEY, **owner)

    assert error_extensions(answer)["code"] == "BAD_USER_INPUT"
    assert not (await invite(client, owner))["replayed"]


def test_every_mutation_describes_its_repeat():
    fields = CORE.mutation_type.fields

    assert fields.keys() == REPEAT_BEHAVIOUR.keys()
    assert all(
        f" {REPEAT_BEHAVIOUR[name]} Codes: " in field.description for name, field in fields.items()
    )
    versioned = {
        name
        for name, field in fields.items()
        if field.args
        and {"expectedVersion", "teams"} & field.args["input"].type.of_type.fields.keys()
    }
    of_version = {
        name
        for name, repeat in REPEAT_BEHAVIOUR.items()
        if repeat is RepeatBehaviour.CHECKS_VERSION
    }
    assert versioned == of_version | {"eraseTeam", "updateTournament"}


@pytest.mark.parametrize(
    ("name", "input"),
    [
        ("signIn", '{email: "owner@example.org", password: "correct horse battery"}'),
        ("enableTotp", '{password: "correct horse battery"}'),
    ],
)
async def test_key_without_effect_is_refused(client, owner, sql, name, input):
    assert {
        one for one, repeat in REPEAT_BEHAVIOUR.items() if repeat is RepeatBehaviour.REFUSES_KEY
    } == {
        "signIn",
        "enableTotp",
    }

    answer = await execute(
        client,
        f"mutation {{ {name}(input: {input}) {{ __typename }} }}",
        Idempotency_Key=KEY,
        **owner,
    )

    assert error_extensions(answer)["code"] == "BAD_USER_INPUT"
    assert await rows(sql, "organiser_session") == 1
    assert await sql.fetchval("SELECT count(totp_salt) FROM organiser") == 0


UPDATE = """
mutation U($input: UpdateTeamInput!) { updateTeam(input: $input) { team { version } } }
"""
CORRECTION = {
    "teamId": "ICCT-001", "expectedVersion": 1, "reason": "A letter.", "teamName": "Lions",
}  # fmt: skip


async def stale(client, query: str, input: dict, who: dict) -> dict:
    extensions = error_extensions(await execute(client, query, {"input": input}, **who))
    assert extensions["code"] == "STALE_VERSION"
    return extensions["details"]


async def test_stale_version_distinguishes_own_repeats(client, services, owner, sql):
    await register(client, 1)
    reviewer = await bearer_headers(services, Role.REVIEWER)
    data(await execute(client, UPDATE, {"input": CORRECTION}, **owner))

    assert await stale(client, UPDATE, CORRECTION, owner) == {"currentVersion": 2, "isYours": True}
    others = [
        (CORRECTION, reviewer),
        (CORRECTION | {"teamName": "Tigers"}, owner),
        (CORRECTION | {"reason": "Another."}, owner),
        (CORRECTION | {"churchName": "CSI Church 1"}, owner),
        (CORRECTION | {"expectedVersion": 3}, owner),
        (CORRECTION | {"expectedVersion": 0}, owner),
    ]
    for form, who in others:
        assert await stale(client, UPDATE, form, who) == {"currentVersion": 2, "isYours": False}
    assert await sql.fetchval("SELECT version FROM team") == 2


async def test_repeat_after_another_edit_is_not_yours(client, services, owner):
    await register(client, 1)
    data(await execute(client, UPDATE, {"input": CORRECTION}, **owner))
    reviewer = await bearer_headers(services, Role.REVIEWER)
    data(await decide(client, reviewer, TeamAction.CONFIRM, "ICCT-001", 2))

    details = await stale(client, UPDATE, CORRECTION, owner)

    assert details == {"currentVersion": 3, "isYours": False}


EDITS = {
    "updatePlayer": {"playerId": "ICCT-001-P01", "reason": "x y", "name": "Other Name"},
    "addPlayer": {"teamId": "ICCT-001", "reason": "x y", "player": {"name": "New Player"}},
    "removePlayer": {"playerId": "ICCT-001-P01", "reason": "x y"},
    "reissueManageToken": {"teamId": "ICCT-001", "reason": "x y"},
    "confirmTeam": {"teamId": "ICCT-001"},
    "rejectTeam": {"teamId": "ICCT-001", "reason": "x y"},
    "withdrawTeam": {"teamId": "ICCT-001", "reason": "x y"},
    "requestChanges": {"teamId": "ICCT-001", "items": [{"note": "x y"}]},
}


@pytest.mark.parametrize("name", EDITS)
async def test_every_edit_recognises_its_repeat(client, services, owner, name):
    await register(client, 1, players=factories.players(12))
    kind = f"{name[0].upper()}{name[1:]}Input"
    query = f"mutation M($input: {kind}!) {{ {name}(input: $input) {{ team {{ version }} }} }}"
    form = EDITS[name] | {"expectedVersion": 1}
    data(await execute(client, query, {"input": form}, **owner))

    own = await stale(client, query, form, owner)
    others = await stale(client, query, form, await bearer_headers(services, Role.REVIEWER))

    assert own == {"currentVersion": 2, "isYours": True}
    assert others == {"currentVersion": 2, "isYours": False}


async def test_repeated_removal_by_the_id_of_the_player_is_recognised(client, services, owner, sql):
    await register(client, 1, players=factories.players(12))
    await register(client, 2)
    reviewer = await bearer_headers(services, Role.REVIEWER)
    player_id = await sql.fetchval(
        "SELECT player.id FROM player JOIN team ON team.id = team_id"
        " WHERE position = 3 AND code = 'ICCT-001'"
    )
    query = "mutation M($input: RemovePlayerInput!) {removePlayer(input: $input) {team {version}}}"
    form = {"playerId": player_id.hex, "reason": "x y", "expectedVersion": 1}
    data(await execute(client, query, {"input": form}, **owner))
    before = await sql.fetch("SELECT * FROM audit_event ORDER BY id")

    own = await stale(client, query, form, owner)
    others = await stale(client, query, form, reviewer)
    newer = await execute(client, query, {"input": form | {"expectedVersion": 2}}, **owner)

    assert own == {"currentVersion": 2, "isYours": True}
    assert others == {"currentVersion": 2, "isYours": False}
    assert error_extensions(newer)["code"] == "NOT_FOUND"
    assert await sql.fetchval("SELECT count(*) FROM player") == 11 + 15
    assert await sql.fetch("SELECT * FROM audit_event ORDER BY id") == before


async def test_removal_of_an_id_that_no_player_had_is_not_found(client, owner, sql):
    await register(client, 1, players=factories.players(12))
    query = "mutation M($input: RemovePlayerInput!) {removePlayer(input: $input) {team {version}}}"
    form = {"playerId": "ICCT-001-P01", "reason": "x y", "expectedVersion": 1}
    data(await execute(client, query, {"input": form}, **owner))

    answer = await execute(client, query, {"input": form | {"playerId": "0" * 32}}, **owner)

    assert error_extensions(answer)["code"] == "NOT_FOUND"
    assert await sql.fetchval("SELECT version FROM team") == 2


async def test_concurrent_repeats_of_an_edit_change_the_team_once(client, owner, sql):
    await register(client, 1)

    answers = await asyncio.gather(
        *(execute(client, UPDATE, {"input": CORRECTION}, **owner) for _ in range(5))
    )

    stales = [
        error_extensions(answer)["details"] for answer in answers if "errors" in answer.json()
    ]
    assert stales == [{"currentVersion": 2, "isYours": True}] * 4
    assert await sql.fetchval("SELECT version FROM team") == 2


async def test_season_update_with_an_old_version_is_stale(client, owner, services, sql):
    change = {"expectedVersion": 1, "venue": "The ground"}

    changed = data(await execute(client, SEASON, {"input": change}, **owner))["updateTournament"]

    assert changed["tournament"]["version"] == 2
    assert await stale(client, SEASON, change, owner) == {"currentVersion": 2, "isYours": True}
    for other in ({"venue": "Elsewhere"}, {"venue": None}, {"expectedVersion": 5}):
        details = await stale(client, SEASON, change | other, owner)
        assert details == {"currentVersion": 2, "isYours": False}
    assert await sql.fetchval("SELECT venue FROM tournament") == "The ground"


async def test_season_version_grows_only_with_changes(client, owner, sql):
    async def version() -> int:
        return data(await execute(client, "{ tournament { version } }"))["tournament"]["version"]

    await register(client, 1)
    data(await execute(client, SEASON, {"input": {"venue": None}}, **owner))
    assert await version() == 1
    data(await execute(client, SEASON, {"input": {"venue": "Here"}}, **owner))
    assert await version() == 2
    data(await execute(client, SEASON, {"input": {"expectedVersion": 2, "venue": "Here"}}, **owner))
    assert await version() == 2
    data(
        await execute(client, SEASON, {"input": {"expectedVersion": None, "name": "Cup"}}, **owner)
    )
    assert await version() == 3


async def test_concurrent_season_updates_succeed_once_per_version(client, owner, sql):
    answers = await asyncio.gather(
        *(
            execute(
                client, SEASON, {"input": {"expectedVersion": 1, "venue": f"Ground {n}"}}, **owner
            )
            for n in range(4)
        )
    )

    stales = [
        error_extensions(answer)["details"] for answer in answers if "errors" in answer.json()
    ]
    assert stales == [{"currentVersion": 2, "isYours": False}] * 3
    assert await sql.fetchval("SELECT version FROM tournament") == 2
