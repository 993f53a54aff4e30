"""Players, statistics, histories, the audit log, deliveries and nodes."""

import pytest

from domain.auth.roles import Role
from domain.teams.status import TeamAction
from tests import factories
from tests.accounts import bearer_headers, role_email
from tests.graphql_client import app_client, data, execute
from tests.schema.teams.test_decisions import decide, register
from tests.schema.test_documents import FULL_SET
from tests.uploading import with_documents

PLAYER = """
query Player($code: String!) {
  player(code: $code) { id code name position team { code players { code } captain { phone } } }
}
"""
STATS = """
{ teamStats {
  total live churches players byStatus { status count } documents { review count }
  registeredByDay { day count }
} }
"""
AUDIT = """
query Audit($filter: AuditFilter, $first: Int, $after: String) {
  auditLog(filter: $filter, first: $first, after: $after) {
    totalCount pageInfo { hasNextPage endCursor }
    nodes { id action teamCode requestId changes reason items actor { kind organiserId email } }
  }
}
"""
HISTORY = "history { action reason items actor { kind organiserId email } }"
DELIVERIES = """
query Deliveries($filter: DeliveryFilter, $first: Int) {
  deliveries(filter: $filter, first: $first) {
    totalCount nodes { kind status teamCode attempts dueAt settledAt failure }
  }
}
"""
RENAME = """
mutation Rename($input: UpdatePlayerInput!) {
  updatePlayer(input: $input) { team { players { code name } } }
}
"""
NODE = """
query Node($id: ID!) {
  node(id: $id) {
    __typename id
    ... on Team { code captain { phone } } ... on Player { code team { code } }
    ... on Document { kind } ... on Organiser { email }
  }
}
"""


@pytest.fixture
async def viewer(services) -> dict[str, str]:
    return await bearer_headers(services, Role.VIEWER)


@pytest.fixture
async def owner(services) -> dict[str, str]:
    return await bearer_headers(services, Role.OWNER)


async def test_player_includes_its_team(client, viewer):
    await register(client, 1)

    player = data(await execute(client, PLAYER, {"code": " icct-001-p03 "}, **viewer))["player"]

    assert (player["code"], player["position"]) == ("ICCT-001-P03", 3)
    assert player["name"] == factories.players()[2]["name"]
    assert player["team"]["code"] == "ICCT-001"
    assert len(player["team"]["players"]) == 15
    assert player["team"]["captain"]["phone"] != factories.person(2)["phone"]


@pytest.mark.parametrize(
    "code",
    [
        *("ICCT-001-P16", "ICCT-002-P01", "ICCT-001", "", "P01", "ICCT-001-P99999"),
        # More than a position can be, and more than a number may be for Python.
        *("ICCT-001-P2147483648", "ICCT-001-P9999999999", f"ICCT-001-P{'9' * 1_900}"),
    ],
)
async def test_unknown_player_is_null(client, viewer, code):
    await register(client, 1)

    assert data(await execute(client, PLAYER, {"code": code}, **viewer))["player"] is None


@pytest.mark.parametrize("position", [99, 100, 999, 9_999, 10_215, 1_000_000, 2_000_000_000])
async def test_player_keeps_a_code_after_many_squad_changes(
    client, viewer, reviewer, sql, position
):
    await register(client, 1)
    await sql.execute("UPDATE player SET position = $1 WHERE position = 15", position)
    code = f"ICCT-001-P{position}"
    plain = "query Plain($code: String!) { player(code: $code) { code position name } }"

    masked, printed = [
        data(await execute(client, query, {"code": code}, **who))["player"]
        for query, who in ((PLAYER, viewer), (plain, reviewer))
    ]
    edit = {"playerId": code, "expectedVersion": 1, "reason": "A typing error.", "name": "New Name"}
    changed = data(await execute(client, RENAME, {"input": edit}, **reviewer))["updatePlayer"][
        "team"
    ]

    assert (masked["code"], masked["position"]) == (code, position)
    assert printed == {"code": code, "position": position, "name": factories.players()[14]["name"]}
    assert changed["players"][-1] == {"code": code, "name": "New Name"}


async def test_player_of_a_team_with_a_long_number_is_found(client, viewer, reviewer, sql):
    await register(client, 1)
    await sql.execute("UPDATE team SET code = 'ICCT-2147483647'")
    code = "ICCT-2147483647-P01"
    plain = "query Plain($code: String!) { player(code: $code) { code } }"

    assert data(await execute(client, PLAYER, {"code": code}, **viewer))["player"]["code"] == code
    assert data(await execute(client, plain, {"code": code}, **reviewer)) == {
        "player": {"code": code}
    }


async def test_statistics_of_a_season(client, viewer, reviewer, sql):
    await sql.execute("UPDATE tournament SET required_documents = $1", FULL_SET)
    await register(client, 1, **(await with_documents(client, factories.team(1))))
    await sql.execute("UPDATE tournament SET required_documents = '{}'")
    await register(client, 2, players=factories.players(11))
    await register(client, 3, churchName="CSI Church 2")
    await register(client, 4)
    data(await decide(client, reviewer, TeamAction.REJECT, "ICCT-004"))
    await sql.execute(
        "UPDATE document SET review = 'ACCEPTED' WHERE kind IN ('PASTOR_LETTER', 'IDENTITY_PROOF')"
    )
    # Half past midnight in Chennai.
    await sql.execute("UPDATE team SET registered_at = '2026-11-20T19:00:00Z'")
    await sql.execute(
        "UPDATE team SET registered_at = '2026-11-20T18:00:00Z' WHERE code = 'ICCT-001'"
    )

    stats = data(await execute(client, STATS, **viewer))["teamStats"]

    assert stats["byStatus"] == [
        {"status": "PENDING", "count": 3},
        {"status": "CHANGES_REQUESTED", "count": 0},
        {"status": "CONFIRMED", "count": 0},
        {"status": "REJECTED", "count": 1},
        {"status": "WITHDRAWN", "count": 0},
    ]
    assert (stats["total"], stats["live"]) == (4, 3)
    assert (stats["churches"], stats["players"]) == (2, 15 + 11 + 15)
    assert stats["documents"] == [
        {"review": "PENDING", "count": 2 + 15},
        {"review": "ACCEPTED", "count": 1 + 15},
        {"review": "REJECTED", "count": 0},
    ]
    assert stats["registeredByDay"] == [
        {"day": "2026-11-20", "count": 1},
        {"day": "2026-11-21", "count": 3},
    ]


async def test_statistics_of_an_empty_season(client, viewer):
    stats = data(await execute(client, STATS, **viewer))["teamStats"]

    assert (stats["total"], stats["players"], stats["registeredByDay"]) == (0, 0, [])


async def test_history_is_complete_for_reviewers_only(client, services, viewer, reviewer):
    answer = await execute(client, factories.REGISTER, {"input": factories.team(1)})
    token = data(answer)["registerTeam"]["manageToken"]
    items = [{"note": "A clearer photo."}]
    data(await decide(client, reviewer, TeamAction.REQUEST_CHANGES, items=items))
    data(await decide(client, reviewer, TeamAction.REJECT, version=2, reason="No answer."))
    whose = 'team(code: "ICCT-001")'

    told = data(await execute(client, f"{{ {whose} {{ {HISTORY} }} }}", **reviewer))["team"]
    masked = data(await execute(client, f"{{ {whose} {{ {HISTORY} }} }}", **viewer))["team"]
    mine = data(
        await execute(client, f"{{ myTeam {{ {HISTORY} }} }}", Authorization=f"Bearer {token}")
    )["myTeam"]

    actions = ["TEAM_REGISTERED", "TEAM_CHANGES_REQUESTED", "TEAM_REJECTED"]
    for seen in (told, masked, mine):
        assert [event["action"] for event in seen["history"]] == actions
        kinds = [event["actor"]["kind"] for event in seen["history"]]
        assert kinds == ["CAPTAIN", "ORGANISER", "ORGANISER"]
    asked = [{"note": "A clearer photo.", "document": None}]
    assert [event["items"] for event in told["history"]] == [None, asked, None]
    assert [event["items"] for event in mine["history"]] == [None, asked, None]
    assert [event["items"] for event in masked["history"]] == [None, None, None]
    assert [event["reason"] for event in told["history"]] == [None, None, "No answer."]
    assert [event["reason"] for event in mine["history"]] == [None, None, "No answer."]
    assert [event["reason"] for event in masked["history"]] == [None, None, None]
    assert told["history"][2]["actor"]["email"] == role_email(Role.REVIEWER)
    assert masked["history"][2]["actor"]["email"] is None
    assert masked["history"][2]["actor"]["organiserId"] is not None
    assert mine["history"][2]["actor"] == {"kind": "ORGANISER", "organiserId": None, "email": None}


async def test_captains_do_not_see_override_reasons(client, reviewer, sql):
    await sql.execute("UPDATE tournament SET required_documents = $1", FULL_SET)
    team = await with_documents(client, factories.team(1))
    answer = data(await execute(client, factories.REGISTER, {"input": team}))["registerTeam"]
    data(await decide(client, reviewer, TeamAction.CONFIRM, overrideReason="The pastor called."))

    query = f"{{ myTeam {{ {HISTORY} }} }}"
    mine = await execute(client, query, Authorization=f"Bearer {answer['manageToken']}")

    assert data(mine)["myTeam"]["history"][-1]["reason"] is None
    log = data(await execute(client, AUDIT, {"filter": {"action": ["TEAM_CONFIRMED"]}}, **reviewer))
    assert log["auditLog"]["nodes"][0]["reason"] == "The pastor called."


async def test_audit_log_starts_with_the_newest_event(client, reviewer):
    for number in (1, 2):
        await register(client, number)
    answer = await decide(client, reviewer, TeamAction.CONFIRM, "ICCT-002")

    one = data(await execute(client, AUDIT, {"first": 2}, **reviewer))["auditLog"]
    after = one["pageInfo"]["endCursor"]
    rest = data(await execute(client, AUDIT, {"first": 100, "after": after}, **reviewer))[
        "auditLog"
    ]

    assert [node["action"] for node in one["nodes"]] == ["TEAM_CONFIRMED", "TEAM_REGISTERED"]
    assert one["nodes"][0]["requestId"] == answer.headers["X-Request-ID"]
    assert one["nodes"][0]["changes"] == {"status": ["PENDING", "CONFIRMED"], "version": [1, 2]}
    assert one["nodes"][1]["teamCode"] == "ICCT-002"
    assert one["pageInfo"]["hasNextPage"] is True
    assert one["totalCount"] == len(one["nodes"]) + len(rest["nodes"])
    assert rest["nodes"][0]["teamCode"] == "ICCT-001"


async def test_audit_log_is_filtered(client, services, reviewer, sql):
    for number in (1, 2):
        await register(client, number)
    data(await decide(client, reviewer, TeamAction.CONFIRM, "ICCT-002"))
    organiser = await sql.fetchval("SELECT id FROM organiser WHERE role = 'REVIEWER'")
    team = await sql.fetchval("SELECT id FROM team WHERE code = 'ICCT-001'")
    moment = await sql.fetchval("SELECT at FROM audit_event WHERE action = 'team.confirmed'")

    async def actions(**wanted):
        found = data(await execute(client, AUDIT, {"filter": wanted}, **reviewer))["auditLog"]
        assert found["totalCount"] == len(found["nodes"])
        return [(node["action"], node["teamCode"]) for node in found["nodes"]]

    decided = [("TEAM_CONFIRMED", "ICCT-002")]
    assert await actions(teamId="ICCT-001") == [("TEAM_REGISTERED", "ICCT-001")]
    assert await actions(teamId=team.hex) == [("TEAM_REGISTERED", "ICCT-001")]
    assert await actions(teamId="ICCT-002") == [*decided, ("TEAM_REGISTERED", "ICCT-002")]
    assert ("TEAM_CONFIRMED", "ICCT-002") in await actions(organiserId=organiser.hex)
    assert ("TEAM_REGISTERED", "ICCT-001") not in await actions(organiserId=organiser.hex)
    assert await actions(action=["TEAM_CONFIRMED", "TEAM_REJECTED"]) == decided
    assert await actions(since=moment.isoformat(), teamId="ICCT-002") == decided
    assert await actions(until=moment.isoformat(), action=["TEAM_CONFIRMED"]) == []
    assert await actions(teamId="nobody") == []


async def test_deliveries_show_pending_delivered_and_dead_messages(client, reviewer, sql):
    await register(client, 1)
    data(await decide(client, reviewer, TeamAction.CONFIRM))
    await sql.execute(
        "UPDATE outbox_message SET finished_at = now(), attempts = 1 WHERE kind = 'media.move'"
    )
    await sql.execute(
        "UPDATE outbox_message SET dead_at = now(), attempts = 16, failure = 'MailUnavailable'"
        " WHERE kind = 'mail.team_confirmed'"
    )

    async def deliveries(**wanted):
        found = data(await execute(client, DELIVERIES, {"filter": wanted}, **reviewer))[
            "deliveries"
        ]
        assert found["totalCount"] == len(found["nodes"])
        return found["nodes"]

    everything = await deliveries()
    assert [(node["kind"], node["status"], node["attempts"]) for node in everything] == [
        ("MEDIA_MOVE", "DELIVERED", 1),
        ("MAIL_TEAM_CONFIRMED", "DEAD", 16),
        ("MAIL_TEAM_RECEIVED", "OWED", 0),
    ]
    assert [node["dueAt"] is None for node in everything] == [True, True, False]
    assert [node["settledAt"] is None for node in everything] == [False, False, True]
    assert [node["failure"] for node in everything] == [None, "MailUnavailable", None]
    assert await deliveries(status=["OWED", "DEAD"]) == everything[1:]
    assert await deliveries(kind=["MEDIA_MOVE"]) == everything[:1]
    assert await deliveries(teamId="ICCT-001") == everything
    assert await deliveries(teamId="ICCT-002") == []


async def test_possible_duplicates_are_shown_to_reviewers_only(client, viewer, reviewer, sql):
    twin = {"name": "R. Anand", "dateOfBirth": "2001-02-03"}
    other = {"name": "r  ANAND", "dateOfBirth": "2001-02-03"}
    namesake = {"name": "R Anand", "dateOfBirth": "1999-01-01"}
    first = data(
        await execute(
            client,
            factories.REGISTER,
            {"input": factories.team(1, players=[*factories.players(11), twin])},
        )
    )["registerTeam"]
    await register(client, 2, players=[other, *factories.players(11)])
    await register(client, 3, players=[namesake, *factories.players(11)])
    elsewhere = "readiness { isReady playersElsewhere { playerCode otherPlayerCode } }"

    async def seen(query, **headers):
        (team,) = data(await execute(client, query, **headers)).values()
        return team["readiness"]

    of_first = f'{{ team(code: "ICCT-001") {{ {elsewhere} }} }}'
    assert await seen(of_first, **reviewer) == {
        "isReady": True,
        "playersElsewhere": [
            {"playerCode": "ICCT-001-P12", "otherPlayerCode": "ICCT-002-P01"},
        ],
    }
    mine = {"Authorization": f"Bearer {first['manageToken']}"}
    assert (await seen(f"{{ myTeam {{ {elsewhere} }} }}", **mine))["playersElsewhere"] == []
    assert (await seen(of_first, **viewer))["playersElsewhere"] == []
    data(await decide(client, reviewer, TeamAction.REJECT, "ICCT-002"))
    assert (await seen(of_first, **reviewer))["playersElsewhere"] == []


async def test_node_returns_objects_that_the_caller_may_see(client, viewer, reviewer, owner, sql):
    await sql.execute("UPDATE tournament SET required_documents = $1", FULL_SET)
    await register(client, 1, **(await with_documents(client, factories.team(1))))

    async def node(statement, who):
        found = await sql.fetchval(statement)
        return data(await execute(client, NODE, {"id": found.hex}, **who))["node"]

    team = "SELECT id FROM team"
    assert (await node(team, reviewer))["captain"]["phone"] == factories.person(2)["phone"]
    assert (await node(team, viewer))["captain"]["phone"] != factories.person(2)["phone"]
    player = await node("SELECT id FROM player WHERE position = 4", viewer)
    assert (player["__typename"], player["code"]) == ("Player", "ICCT-001-P04")
    assert player["team"]["code"] == "ICCT-001"
    document = "SELECT id FROM document WHERE kind = 'PASTOR_LETTER'"
    assert (await node(document, reviewer))["kind"] == "PASTOR_LETTER"
    assert await node(document, viewer) is None
    himself = "SELECT id FROM organiser WHERE role = 'REVIEWER'"
    assert (await node(himself, reviewer))["email"] == role_email(Role.REVIEWER)
    assert (await node(himself, owner))["email"] == role_email(Role.REVIEWER)
    assert await node(himself, viewer) is None
    session = (
        "SELECT s.id FROM organiser_session s JOIN organiser o ON o.id = s.organiser_id"
        " WHERE o.role = 'REVIEWER'"
    )
    assert (await node(session, reviewer))["__typename"] == "Session"
    assert await node(session, viewer) is None


@pytest.mark.parametrize("id", ["nonsense", "0" * 32, "ICCT-001", ""])
async def test_unknown_node_id_is_null(client, viewer, id):
    assert data(await execute(client, NODE, {"id": id}, **viewer))["node"] is None


async def test_node_returns_an_api_token(client, owner):
    query = """mutation C($input: CreateApiTokenInput!) {
      createApiToken(input: $input) { apiToken { id } } }"""
    made = data(await execute(client, query, {"input": {"name": "x", "role": "VIEWER"}}, **owner))
    token_id = made["createApiToken"]["apiToken"]["id"]

    found = data(await execute(client, NODE, {"id": token_id}, **owner))["node"]

    assert found == {"__typename": "ApiToken", "id": token_id}


BORN = "2001-02-03"
BIRTHS = {
    "team by code": '{ team(code: "ICCT-001") { players { dateOfBirth } } }',
    "team by id": '{ team(id: "<team>") { players { dateOfBirth } } }',
    "page, nodes": "{ teams { nodes { players { dateOfBirth } } } }",
    "page, edges": "{ teams(last: 1) { edges { node { players { dateOfBirth } } } } }",
    "page, other fields": "{ teams { nodes { players { dateOfBirth documents { id } } } } }",
    "player": '{ player(code: "ICCT-001-P01") { dateOfBirth } }',
    "player, an alias": '{ player(code: "ICCT-001-P01") { born: dateOfBirth } }',
    "team of a player": '{ player(code: "ICCT-001-P02") { team { players { dateOfBirth } } } }',
    "node of a player": '{ node(id: "<player>") { ... on Player { dateOfBirth } } }',
    "node of a team": '{ node(id: "<team>") { ... on Team { players { dateOfBirth } } } }',
    "fragment": "{ teams { nodes { ...t } } } fragment t on Team { players { dateOfBirth } }",
    "history": '{ team(code: "ICCT-001") { history { changes items reason } } }',
}


@pytest.mark.parametrize("way", [{}, {"rendered_plans": False}, {"compiled_execution": False}])
async def test_dates_of_birth_are_hidden_from_viewers(
    settings_with, database_url, viewer, reviewer, sql, way
):
    async with app_client(settings_with(**way), database_url) as client:
        squad = [factories.players()[0] | {"dateOfBirth": BORN}, *factories.players()[1:]]
        await register(client, 1, players=squad)
        wanted = {"expectedVersion": 1, "reason": "As on the passport.", "dateOfBirth": BORN}
        born = {"playerId": "ICCT-001-P02", **wanted}
        data(await execute(client, RENAME, {"input": born}, **reviewer))
        ids = {
            "<team>": (await sql.fetchval("SELECT id FROM team")).hex,
            "<player>": (await sql.fetchval("SELECT id FROM player WHERE position = 1")).hex,
        }
        for name, query in BIRTHS.items():
            for mark, value in ids.items():
                query = query.replace(mark, value)  # noqa: PLW2901 - filled in

            # The second time it is executed by its plan.
            shown = [await execute(client, query, **reviewer) for _ in range(3)]
            hidden = [await execute(client, query, **viewer) for _ in range(3)]

            assert all(data(item) and BORN in item.text for item in shown), name
            assert all(data(entry) and BORN not in entry.text for entry in hidden), name
