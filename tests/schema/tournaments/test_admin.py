"""Mutations for owners: tournament rules, merged churches, erased teams."""

import asyncio
import json

import pytest

from domain.auth.roles import Role
from domain.teams.status import TeamAction, TeamStatus
from resolvers.documents.jobs import HANDLERS
from tests import factories
from tests.accounts import bearer_headers
from tests.graphql_client import data, error_extensions, execute
from tests.schema.teams.test_corrections import rows
from tests.schema.teams.test_decisions import decide, everything, put_in, register
from tests.schema.test_documents import FULL_SET
from tests.uploading import with_documents

TOURNAMENT = """
mutation T($input: UpdateTournamentInput!) {
  updateTournament(input: $input) {
    tournament {
      name venue timeZone feeAmount feeCurrency upiId upiPayee
      registration { state opensAt closesAt capacity taken remaining }
    }
  }
}
"""
RULES = """{ registrationRules {
  squadMin squadMax teamsPerChurch requiredDocuments consentVersion
} }"""
MERGE = """
mutation M($input: MergeChurchesInput!) {
  mergeChurches(input: $input) {
    teamsMoved church { name teamsRegistered limit remaining isFull }
  }
}
"""
ERASE = "mutation E($input: EraseTeamInput!) { eraseTeam(input: $input) { code documentsErased } }"


@pytest.fixture
async def owner(services) -> dict[str, str]:
    return await bearer_headers(services, Role.OWNER)


async def update(client, owner, **wanted):
    return await execute(client, TOURNAMENT, {"input": wanted}, **owner)


async def test_only_given_fields_of_the_tournament_change(client, sql, owner):
    changes = {
        "venue": "St. Thomas Mount",
        "closesAt": "2099-01-01T00:00:00Z",
        "capacity": 24,
        "feeAmount": None,
    }

    tournament = data(await update(client, owner, **changes))["updateTournament"]["tournament"]

    assert tournament["venue"] == "St. Thomas Mount"
    assert tournament["name"] == "ICCT26 Cricket Tournament"
    assert (tournament["feeAmount"], tournament["feeCurrency"]) == (None, "INR")
    assert tournament["registration"] == {
        "state": "OPEN",
        "opensAt": None,
        "closesAt": "2099-01-01T00:00:00.000000Z",
        "capacity": 24,
        "taken": 0,
        "remaining": 24,
    }
    recorded = await sql.fetchrow("SELECT actor, action, changes FROM audit_event ORDER BY id DESC")
    assert recorded["action"] == "tournament.updated"
    assert recorded["actor"].startswith("organiser:")
    assert json.loads(recorded["changes"]) == {
        "venue": [None, "St. Thomas Mount"],
        "closesAt": [None, "2099-01-01T00:00:00.000000Z"],
        "capacity": [16, 24],
        "feeAmount": [2026, None],
    }


async def test_changed_rules_apply_to_the_next_request(client, sql, owner):
    changes = {
        "squadMin": 5,
        "squadMax": 6,
        "teamsPerChurch": None,
        "requiredDocuments": ["PHOTO", "PASTOR_LETTER"],
        "consentVersion": "2026-11",
    }
    data(await update(client, owner, **changes))

    rules = data(await execute(client, RULES))["registrationRules"]
    answer = await execute(client, factories.REGISTER, {"input": factories.team(1)})

    assert rules == changes | {"requiredDocuments": ["PASTOR_LETTER", "PHOTO"]}
    found = {issue["code"] for issue in error_extensions(answer)["issues"]}
    assert found == {"SQUAD_TOO_LARGE", "MISSING_DOCUMENT", "CONSENT_REQUIRED"}


async def test_lower_capacity_keeps_registered_teams(client, sql, owner):
    for number in (1, 2):
        await register(client, number)

    tournament = data(await update(client, owner, capacity=1))["updateTournament"]["tournament"]

    window = tournament["registration"]
    assert (window["state"], window["taken"], window["remaining"]) == ("FULL", 2, 0)
    answer = await execute(client, factories.REGISTER, {"input": factories.team(3)})
    assert error_extensions(answer)["code"] == "TOURNAMENT_FULL"


async def test_update_without_a_difference_is_not_audited(client, sql, owner):
    before = await everything(sql)

    data(await update(client, owner, capacity=16, name="ICCT26 Cricket Tournament"))

    assert await everything(sql) == before


@pytest.mark.parametrize(
    ("changes", "field", "code", "params"),
    [
        ({"name": None}, "name", "VALUE_REQUIRED", {}),
        ({"timeZone": None}, "timeZone", "VALUE_REQUIRED", {}),
        ({"requiredDocuments": None}, "requiredDocuments", "VALUE_REQUIRED", {}),
        ({"name": "  "}, "name", "TEXT_REQUIRED", {}),
        ({"timeZone": "\u200b"}, "timeZone", "TEXT_REQUIRED", {}),
        ({"venue": "x" * 201}, "venue", "NAME_TOO_LONG", {"max": 200}),
        ({"upiPayee": "a\nb"}, "upiPayee", "TEXT_CHARACTERS", {}),
        ({"name": "2341 2341 2346"}, "name", "IDENTITY_NUMBER_NOT_ALLOWED", {}),
        ({"timeZone": "Mars/Olympus"}, "timeZone", "TIME_ZONE_UNKNOWN", {}),
        ({"timeZone": "a b"}, "timeZone", "TIME_ZONE_UNKNOWN", {}),
        ({"capacity": -1}, "capacity", "NUMBER_OUT_OF_RANGE", {"min": 0, "max": 10_000}),
        ({"teamsPerChurch": 0}, "teamsPerChurch", "NUMBER_OUT_OF_RANGE", {"min": 1, "max": 10_000}),
        ({"squadMin": 16}, "squadMin", "ORDER_REVERSED", {}),
        ({"squadMax": 10}, "squadMax", "ORDER_REVERSED", {}),
        ({"squadMax": 51}, "squadMax", "NUMBER_OUT_OF_RANGE", {"min": 1, "max": 50}),
        ({"feeAmount": -5}, "feeAmount", "NUMBER_OUT_OF_RANGE", {"min": 0, "max": 10_000_000}),
        ({"feeCurrency": "rupees"}, "feeCurrency", "CURRENCY_INVALID", {}),
        ({"feeCurrency": "inr"}, "feeCurrency", "CURRENCY_INVALID", {}),
        ({"feeCurrency": "₹"}, "feeCurrency", "CURRENCY_INVALID", {}),
        ({"upiId": "nobody"}, "upiId", "UPI_ID_INVALID", {}),
        (
            {"opensAt": "2026-12-02T00:00:00Z", "closesAt": "2026-12-01T00:00:00Z"},
            "opensAt",
            "ORDER_REVERSED",
            {},
        ),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_invalid_tournament_values_are_refused(
    client, sql, owner, changes, field, code, params
):
    before = await everything(sql)

    refusal = error_extensions(await update(client, owner, **changes))

    assert refusal["code"] == "VALIDATION_FAILED"
    (issue,) = refusal["issues"]
    assert issue["path"] == ["input", field]
    assert (issue["code"], issue["params"]) == (code, params)
    assert await everything(sql) == before


async def test_all_issues_of_a_tournament_are_reported_at_once(client, sql, owner):
    before = await everything(sql)

    answer = await update(
        client,
        owner,
        feeCurrency="inr",
        squadMin=20,
        timeZone="Mars/Olympus",
        name="",
        upiId="x",
        capacity=-1,
    )

    assert [(issue["pointer"], issue["code"]) for issue in error_extensions(answer)["issues"]] == [
        ("/input/name", "TEXT_REQUIRED"),
        ("/input/timeZone", "TIME_ZONE_UNKNOWN"),
        ("/input/capacity", "NUMBER_OUT_OF_RANGE"),
        ("/input/squadMin", "ORDER_REVERSED"),
        ("/input/feeCurrency", "CURRENCY_INVALID"),
        ("/input/upiId", "UPI_ID_INVALID"),
    ]
    assert await everything(sql) == before


async def test_tournament_texts_are_trimmed(client, owner):
    venue = "സെന്റ്\u200c തോമസ്\u200c"

    tournament = data(
        await update(
            client, owner, venue=f"\u202a{venue}\t\n", feeCurrency=" INR\n", upiId="\ufeffa.b@bank"
        )
    )["updateTournament"]["tournament"]
    cleared = data(await update(client, owner, venue="", upiId=" "))["updateTournament"]

    assert (tournament["venue"], tournament["feeCurrency"]) == (venue, "INR")
    assert tournament["upiId"] == "a.b@bank"
    assert (cleared["tournament"]["venue"], cleared["tournament"]["upiId"]) == (None, None)


async def church_id(sql, name: str) -> str:
    return (await sql.fetchval("SELECT id FROM church WHERE name = $1", name)).hex


async def merge(client, owner, sql, gone: str, stays: str):
    wanted = {"churchId": await church_id(sql, gone), "intoChurchId": await church_id(sql, stays)}
    return await execute(client, MERGE, {"input": wanted}, **owner)


async def test_churches_are_merged(client, sql, owner):
    await register(client, 1, churchName="CSI Bethel")
    await register(client, 2, churchName="Bethel Church")
    await register(client, 3, churchName="Bethel Church")
    data(await decide(client, owner, TeamAction.REJECT, "ICCT-003"))

    merged = data(await merge(client, owner, sql, "Bethel Church", "CSI Bethel"))["mergeChurches"]

    assert merged == {
        "teamsMoved": 2,
        "church": {
            "name": "CSI Bethel",
            "teamsRegistered": 2,
            "limit": 2,
            "remaining": 0,
            "isFull": True,
        },
    }
    assert [row["name"] for row in await sql.fetch("SELECT name FROM church")] == ["CSI Bethel"]
    assert await sql.fetchval("SELECT normalized_name FROM church_alias") == "bethel church"
    again = await execute(
        client, factories.REGISTER, {"input": factories.team(4, churchName="BETHEL CHURCH")}
    )
    assert error_extensions(again)["code"] == "CHURCH_LIMIT_REACHED"
    events = await sql.fetch(
        "SELECT action, changes FROM audit_event WHERE action LIKE '%erged' ORDER BY id"
    )
    assert [row["action"] for row in events] == ["church.merged", *["team.church_merged"] * 2]
    versions = dict(await sql.fetch("SELECT code, version FROM team"))
    assert versions == {"ICCT-001": 1, "ICCT-002": 2, "ICCT-003": 3}
    assert json.loads(events[0]["changes"])["name"] == ["Bethel Church", "CSI Bethel"]


async def test_aliases_move_with_a_merged_church(client, sql, owner):
    for number, name in enumerate(("One", "Two", "Three")):
        await register(client, number, churchName=f"Church {name}")
    data(await merge(client, owner, sql, "Church One", "Church Two"))
    data(await merge(client, owner, sql, "Church Two", "Church Three"))

    await sql.execute("UPDATE tournament SET teams_per_church = 4")
    code = await register(client, 4, churchName="church one")

    query = f'{{ team(code: "{code}") {{ church {{ name teamsRegistered }} }} }}'
    church = data(await execute(client, query, **owner))["team"]["church"]
    assert church == {"name": "Church Three", "teamsRegistered": 4}
    # The quota counts more teams than the limit, once the two are one.
    aliases = await sql.fetch("SELECT normalized_name FROM church_alias ORDER BY 1")
    assert [row["normalized_name"] for row in aliases] == ["church one", "church two"]


async def test_churches_with_equally_named_teams_cannot_merge(client, sql, owner):
    await register(client, 1, churchName="One Church", teamName="Lions")
    await register(client, 2, churchName="Two Church", teamName="LIONS")
    before = await rows(sql)

    answer = await merge(client, owner, sql, "One Church", "Two Church")

    assert error_extensions(answer)["code"] == "BAD_USER_INPUT"
    assert await rows(sql) == before


@pytest.mark.parametrize("other", ["itself", "nobody"])
async def test_church_cannot_merge_into_itself(client, sql, owner, other):
    await register(client, 1)
    one = await church_id(sql, "CSI Church 1")
    wanted = {"churchId": one, "intoChurchId": one if other == "itself" else "0" * 32}

    answer = await execute(client, MERGE, {"input": wanted}, **owner)

    assert error_extensions(answer)["code"] == (
        "BAD_USER_INPUT" if other == "itself" else "NOT_FOUND"
    )


async def test_registrations_during_a_merge_use_the_remaining_church(client, sql, owner):
    await sql.execute("UPDATE tournament SET teams_per_church = NULL, capacity = NULL")
    await register(client, 1, churchName="Bethel")
    await register(client, 2, churchName="Zion")

    answers = await asyncio.gather(
        *(
            execute(
                client, factories.REGISTER, {"input": factories.team(number, churchName="Zion")}
            )
            for number in range(3, 9)
        ),
        merge(client, owner, sql, "Zion", "Bethel"),
        *(
            execute(
                client, factories.REGISTER, {"input": factories.team(number, churchName="Zion")}
            )
            for number in range(9, 15)
        ),
    )

    assert all("errors" not in answer.json() for answer in answers)
    assert dict(await sql.fetch("SELECT name, taken FROM church")) == {"Bethel": 14}
    assert await sql.fetchval("SELECT count(DISTINCT church_id) FROM team") == 1


async def test_registration_waiting_for_a_merge_is_retried(client, sql, owner):
    """The registration's statement read the aliases before the merge added one."""
    await register(client, 1, churchName="Bethel")
    await register(client, 2, churchName="Zion")
    ids = [await church_id(sql, "Zion"), await church_id(sql, "Bethel")]
    transaction = sql.transaction()
    await transaction.start()
    await sql.execute("UPDATE team SET church_id = $2 WHERE church_id = $1", *ids)
    await sql.execute("DELETE FROM church WHERE id = $1", ids[0])
    await sql.execute(
        "INSERT INTO church_alias SELECT tournament_id, 'zion', id FROM church WHERE id = $1",
        ids[1],
    )
    await sql.execute("UPDATE church SET taken = 1 WHERE id = $1", ids[1])

    waiting = asyncio.create_task(
        execute(client, factories.REGISTER, {"input": factories.team(3, churchName="Zion")})
    )
    while not await sql.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
        await asyncio.sleep(0)
    await transaction.commit()

    church = data(await waiting)["registerTeam"]["team"]["church"]
    assert (church["name"], church["teamsRegistered"]) == ("Bethel", 2)
    assert dict(await sql.fetch("SELECT name, taken FROM church")) == {"Bethel": 2}


@pytest.mark.parametrize("status", TeamStatus)
async def test_erased_team_leaves_only_its_audit_events(client, services, sql, owner, status):
    await sql.execute("UPDATE tournament SET required_documents = $1", FULL_SET)
    team = await with_documents(client, factories.team(1, players=factories.players(11)))
    key = {"Idempotency_Key": "a key of a test"}
    registered = data(await execute(client, factories.REGISTER, {"input": team}, **key))[
        "registerTeam"
    ]
    data(await decide(client, owner, TeamAction.REQUEST_CHANGES))
    await put_in(sql, status)
    files = [*services.storage.primary_store.root.rglob("*")]
    wanted = {"teamId": "ICCT-001", "expectedVersion": 2}

    erased = data(await execute(client, ERASE, {"input": wanted}, **owner))["eraseTeam"]

    assert erased == {"code": "ICCT-001", "documentsErased": 3 + 22}
    for table in ("team", "player", "document", "decision"):
        assert await sql.fetchval(f"SELECT count(*) FROM {table}") == 0
    assert await sql.fetchval("SELECT taken FROM tournament") == 0
    assert await sql.fetchval("SELECT taken FROM church") == 0
    outbox = await sql.fetch("SELECT kind, team_id FROM outbox_message")
    assert {(row["kind"], row["team_id"]) for row in outbox} == {("media.delete", None)}
    assert len([path for path in files if path.is_file()]) == len(outbox) == 25
    for message in await messages(services):
        await HANDLERS[message.kind](services, message)
    assert [path for path in services.storage.primary_store.root.rglob("*") if path.is_file()] == []
    await nobody_is_named(sql, team)
    trail = await sql.fetch("SELECT action FROM audit_event WHERE team_id IS NOT NULL ORDER BY id")
    assert [row["action"] for row in trail] == [
        "team.registered",
        "team.changes_requested",
        "team.erased",
    ]
    replay = await execute(client, factories.REGISTER, {"input": team}, **key)
    assert error_extensions(replay)["code"] == "TEAM_NOT_FOUND"
    token = registered["manageToken"]
    mine = await execute(client, "{ myTeam { code } }", Authorization=f"Bearer {token}")
    assert error_extensions(mine)["code"] == "UNAUTHENTICATED"
    await sql.execute("UPDATE tournament SET required_documents = '{}'")
    assert await register(client, 1) == "ICCT-002"


async def messages(services) -> list:
    def claim(uow):
        return uow.outbox.lease(
            kinds=list(HANDLERS),
            now=services.clock().replace(year=2099),
            duration=services.storage.link_lifetime,
            limit=100,
        )

    return await services.database.run(claim)


async def nobody_is_named(sql, team: dict) -> None:
    """Assert that no table contains a name, phone or e-mail address of the team."""
    tables = await sql.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    people = [team["captain"], team["viceCaptain"], *team["players"]]
    words = [value for person in people for value in person.values() if isinstance(value, str)]
    for (table,) in tables:
        stored = " ".join(
            row["text"] for row in await sql.fetch(f"SELECT t::text AS text FROM {table} t")
        )
        assert [word for word in words if word in stored] == [], table


async def test_stale_version_erases_nothing(client, sql, owner):
    await register(client, 1)
    before = await rows(sql)

    answer = await execute(
        client, ERASE, {"input": {"teamId": "ICCT-001", "expectedVersion": 9}}, **owner
    )

    assert error_extensions(answer)["code"] == "STALE_VERSION"
    assert await rows(sql) == before
