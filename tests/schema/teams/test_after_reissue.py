"""A captain whose token was replaced sees no news of the team and changes nothing."""

import asyncio
from contextlib import AsyncExitStack
from uuid import UUID

import pytest

from domain.auth.roles import Role
from resolvers.security.secrets import manage_token
from tests import factories
from tests.accounts import bearer_headers
from tests.graphql_client import app_client, data, error_extensions, execute
from tests.schema.teams.test_decisions import everything
from tests.schema.test_documents import FULL_SET
from tests.uploading import with_documents

KEY = {"Idempotency_Key": "key-of-the-captain"}
FIELDS = """
  id code name status version updatedAt church { name teamsRegistered }
  captain { name phone whatsapp email } viceCaptain { name phone whatsapp email }
  players { name dateOfBirth documents { id reviewNote } team { captain { phone } } }
  documents { id reviewNote }
  readiness { isReady blockers { message } nextOperation playersElsewhere { playerCode } }
  history { action reason items actor { kind } }
"""
REGISTER = f"""
mutation Register($input: RegisterTeamInput!) {{
  registerTeam(input: $input) {{ replayed manageToken team {{ {FIELDS} }} }}
}}
"""
REISSUE = """
mutation Reissue($input: ReissueManageTokenInput!) {
  reissueManageToken(input: $input) { manageToken team { version } }
}
"""
REQUEST = """
mutation Request($input: RequestChangesInput!) { requestChanges(input: $input) { team { id } } }
"""
UPDATE = """
mutation Update($input: UpdateMyTeamInput!) { updateMyTeam(input: $input) { team { name } } }
"""
RESUBMIT = """
mutation Resubmit($input: ResubmitMyTeamInput!) {
  resubmitMyTeam(input: $input) { team { name } }
}
"""
WITHDRAW = """
mutation Withdraw($input: WithdrawMyTeamInput!) {
  withdrawMyTeam(input: $input) { team { name } }
}
"""
NEW = factories.person(90, name="Priya Newcomer", email="priya.newcomer@example.org")
HIDDEN = {"name": "•••", "phone": None, "whatsapp": None, "email": None}


@pytest.fixture
async def form(client, sql) -> dict:
    """The input of a team with the documents that the tournament requires."""
    await sql.execute("UPDATE tournament SET required_documents = $1", FULL_SET)
    return await with_documents(client, factories.team(1))


async def register(client, form) -> dict:
    return data(await execute(client, REGISTER, {"input": form}, **KEY))["registerTeam"]


async def reissue(client, reviewer, version: int = 1) -> str:
    wanted = {"teamId": "ICCT-001", "expectedVersion": version, "reason": "A new captain came."}
    return data(await execute(client, REISSUE, {"input": wanted}, **reviewer))[
        "reissueManageToken"
    ]["manageToken"]


async def hand_over(client, reviewer) -> str:
    """Replace the captain and the token, with messages of organisers."""
    token = await reissue(client, reviewer)
    update = {
        "expectedVersion": 2,
        "token": token,
        "captain": NEW,
        "viceCaptain": factories.person(91),
    }
    data(await execute(client, UPDATE, {"input": update}))
    asked = {
        "teamId": "ICCT-001",
        "expectedVersion": 3,
        "items": [{"note": "The pastor does not know the former captain."}],
    }
    data(await execute(client, REQUEST, {"input": asked}, **reviewer))
    return token


async def test_repeat_with_the_first_token_shows_everything(client, form, reviewer):
    first = await register(client, form)

    again = await register(client, form)

    assert again == {**first, "replayed": True}
    assert again["team"]["readiness"]["blockers"]


@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
async def test_repeat_after_a_new_token_shows_the_team_without_people(
    client, form, reviewer, sql, closed
):
    first = await register(client, form)
    token = await hand_over(client, reviewer)
    if closed:
        await sql.execute("UPDATE tournament SET closes_at = '2020-01-01'")
    before = await everything(sql)

    again = await register(client, form)

    team = again["team"]
    assert again["replayed"]
    assert again["manageToken"] == first["manageToken"] != token
    assert (team["id"], team["code"], team["name"]) == (
        first["team"]["id"],
        "ICCT-001",
        "Warriors 1",
    )
    assert (team["status"], team["version"]) == ("CHANGES_REQUESTED", 4)
    assert team["captain"] == team["viceCaptain"] == HIDDEN
    assert team["players"] == team["documents"] == team["history"] == []
    assert team["readiness"] == {
        "isReady": False,
        "blockers": [],
        "nextOperation": None,
        "playersElsewhere": [],
    }
    assert await everything(sql) == before
    mine = data(await execute(client, f'{{ myTeam(token: "{token}") {{ {FIELDS} }} }}'))["myTeam"]
    assert mine["captain"]["email"] == "priya.newcomer@example.org"
    assert len(mine["history"]) == 4


@pytest.mark.parametrize("way", [{}, {"rendered_plans": False}, {"compiled_execution": False}])
async def test_former_captain_sees_no_personal_data(
    settings_with, database_url, form, reviewer, client, way
):
    first = await register(client, form)
    await hand_over(client, reviewer)
    old = first["manageToken"]
    async with AsyncExitStack() as stack:
        other = await stack.enter_async_context(app_client(settings_with(**way), database_url))
        answers = [
            *[await execute(other, REGISTER, {"input": form}, **KEY) for _ in range(3)],
            await execute(other, REGISTER, {"input": form}),
            await execute(other, REGISTER, {"input": {**form, "teamName": "Others"}}, **KEY),
            await execute(other, factories.VALIDATE, {"input": form}),
            *[
                await execute(other, f"{{ myTeam {{ {fields} }} }}", Authorization=f"Bearer {old}")
                for fields in (FIELDS, "captain { email phone }", FIELDS)
            ],
        ]

    for answer in answers:
        assert "ewcomer" not in answer.text
        assert NEW["phone"] not in answer.text
        assert "pastor does not know" not in answer.text


@pytest.mark.parametrize(
    ("document", "extra"),
    [
        (UPDATE, {"teamName": "Taken Back"}),
        (UPDATE, {"captain": factories.person(7)}),
        (UPDATE, {"players": []}),
        (RESUBMIT, {"documents": []}),
        (WITHDRAW, {"reason": "Nobody else shall play."}),
    ],
)
@pytest.mark.parametrize("by", ["argument", "header"])
async def test_former_captain_changes_nothing(client, form, reviewer, sql, document, extra, by):
    old = (await register(client, form))["manageToken"]
    await hand_over(client, reviewer)
    before = await everything(sql)

    wanted = {"expectedVersion": 4, **extra, **({"token": old} if by == "argument" else {})}
    headers = {} if by == "argument" else {"Authorization": f"Bearer {old}"}
    answer = await execute(client, document, {"input": wanted}, **headers)

    assert error_extensions(answer)["code"] == "UNAUTHENTICATED"
    assert await everything(sql) == before


@pytest.mark.parametrize(
    ("document", "extra"),
    [
        (UPDATE, {"teamName": "Taken Back"}),
        (RESUBMIT, {"documents": []}),
        (WITHDRAW, {"reason": "Nobody else shall play."}),
    ],
)
async def test_token_replaced_during_a_request_changes_nothing(
    client, form, reviewer, sql, document, extra
):
    """The next version is passed in advance, and the row is locked until it is reached."""
    old = (await register(client, form))["manageToken"]
    async with sql.transaction():
        await sql.execute(
            "UPDATE team SET manage_generation = 2, version = 2, status = 'CHANGES_REQUESTED'"
        )
        wanted = {"expectedVersion": 2, "token": old, **extra}
        late = asyncio.create_task(execute(client, document, {"input": wanted}))
        await until_somebody_waits(sql)
    answer = await late

    assert error_extensions(answer)["code"] == "UNAUTHENTICATED"
    row = await sql.fetchrow("SELECT name, status, version FROM team")
    assert tuple(row) == ("Warriors 1", "CHANGES_REQUESTED", 2)


async def until_somebody_waits(sql) -> None:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    async with asyncio.timeout(10):
        # A snapshot of the activity would stay the same within the transaction.
        while not await sql.fetchval(f"SELECT pg_stat_clear_snapshot(), ({waiting})", column=1):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("generation", [1, 3, 4, 99])
async def test_tokens_of_other_generations_are_refused(
    client, form, reviewer, services, generation
):
    team = (await register(client, form))["team"]
    await reissue(client, reviewer)
    token = manage_token(services.secrets, UUID(team["id"]), generation)

    for fields in ("name", FIELDS):
        answer = await execute(client, f'{{ myTeam(token: "{token}") {{ {fields} }} }}')
        assert error_extensions(answer)["code"] == "UNAUTHENTICATED"


CREATE = """
mutation Create($input: CreateApiTokenInput!) { createApiToken(input: $input) { token } }
"""
LINK = "mutation Export($input: ExportTeamsInput!) { exportTeams(input: $input) { url } }"
DOCUMENT = '{ team(code: "ICCT-001") { documents { link { url } } } }'


async def gone_or_lower(sql, how: str) -> None:
    email = "reviewer@example.org"
    if how == "lower":
        await sql.execute("UPDATE organiser SET role = 'VIEWER' WHERE email = $1", email)
        return
    id_ = await sql.fetchval("SELECT id FROM organiser WHERE email = $1", email)
    for table in ("organiser_session", "api_token"):
        await sql.execute(f"DELETE FROM {table} WHERE organiser_id = $1", id_)
    await sql.execute("DELETE FROM organiser WHERE id = $1", id_)


@pytest.mark.parametrize("how", ["lower", "gone"])
async def test_links_and_tokens_of_an_organiser_end_with_the_role(
    client, form, reviewer, sql, services, how
):
    await register(client, form)
    wanted = {"name": "script", "role": "REVIEWER"}
    made = data(await execute(client, CREATE, {"input": wanted}, **reviewer))["createApiToken"]
    script = {"Authorization": f"Bearer {made['token']}"}
    document = data(await execute(client, DOCUMENT, **script))["team"]["documents"][0]["link"][
        "url"
    ]
    export = data(await execute(client, LINK, {"input": {"format": "CSV"}}, **reviewer))[
        "exportTeams"
    ]
    assert (await client.get(document)).status_code == 200
    assert factories.person(2)["phone"] in (await client.get(export["url"])).text

    await gone_or_lower(sql, how)

    shown, exported = await client.get(document), await client.get(export["url"])
    asked = await execute(client, '{ team(code: "ICCT-001") { captain { phone } } }', **script)
    assert shown.status_code == 404
    assert factories.person(2)["phone"] not in exported.text + asked.text
    assert exported.status_code == (200 if how == "lower" else 404)
    viewer = await bearer_headers(services, Role.VIEWER)
    assert (await execute(client, DOCUMENT, **viewer)).status_code == 200
