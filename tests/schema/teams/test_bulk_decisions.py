"""Decisions about several teams, each with its own result."""

import pytest

from domain.auth.roles import SYSTEM
from domain.teams.status import TeamAction
from resolvers.teams import bulk
from resolvers.teams.bulk import MAX_DECISIONS, BulkDecision
from tests import factories
from tests.graphql_client import data, error_extensions, execute
from tests.schema.teams.test_decisions import decide, everything, register
from tests.schema.test_documents import FULL_SET

CONFIRM = """
mutation Confirm($input: ConfirmTeamsInput!) {
  confirmTeams(input: $input) {
    results {
      teamId team { code status version readiness { nextOperation } }
      error { code message retryable details }
    }
  }
}
"""
REJECT = """
mutation Reject($input: RejectTeamsInput!) {
  rejectTeams(input: $input) { results { teamId team { status } error { code } } }
}
"""


def teams(*numbers: int, version: int = 1) -> list[dict]:
    return [{"teamId": f"ICCT-00{n}", "expectedVersion": version} for n in numbers]


async def test_refused_team_does_not_block_the_others(client, sql, reviewer):
    for number in range(1, 5):
        await register(client, number)
    data(await decide(client, reviewer, TeamAction.REJECT, "ICCT-002"))
    wanted = [*teams(1, 2, 3), {"teamId": "ICCT-004", "expectedVersion": 7}, *teams(9)]
    wanted[1]["expectedVersion"] = 2

    answer = await execute(client, CONFIRM, {"input": {"teams": wanted}}, **reviewer)

    results = data(answer)["confirmTeams"]["results"]
    assert [result["teamId"] for result in results] == [item["teamId"] for item in wanted]
    assert [entry["error"] and entry["error"]["code"] for entry in results] == [
        None,
        "INVALID_STATUS_TRANSITION",
        None,
        "STALE_VERSION",
        "TEAM_NOT_FOUND",
    ]
    assert results[0]["team"] == {
        "code": "ICCT-001",
        "status": "CONFIRMED",
        "version": 2,
        "readiness": {"nextOperation": "reopenTeam"},
    }
    assert results[1]["error"]["details"]["from"] == "REJECTED"
    assert results[3]["error"]["details"] == {"currentVersion": 1, "isYours": False}
    statuses = await sql.fetch("SELECT status FROM team ORDER BY code")
    assert [row["status"] for row in statuses] == ["CONFIRMED", "REJECTED", "CONFIRMED", "PENDING"]
    confirmed = "SELECT count(*) FROM audit_event WHERE action = 'team.confirmed'"
    assert await sql.fetchval(confirmed) == 2


async def test_unready_teams_report_their_blockers(client, sql, reviewer):
    await register(client, 1)
    await sql.execute("UPDATE tournament SET required_documents = $1", FULL_SET)

    refused_one = data(await execute(client, CONFIRM, {"input": {"teams": teams(1)}}, **reviewer))
    override = {"teams": teams(1), "overrideReason": "All papers seen at the door."}
    taken = data(await execute(client, CONFIRM, {"input": override}, **reviewer))

    (result,) = refused_one["confirmTeams"]["results"]
    assert result["error"]["details"]["blockers"][0]["code"] == "DOCUMENT_MISSING"
    assert taken["confirmTeams"]["results"][0]["team"]["status"] == "CONFIRMED"


async def test_teams_are_rejected_and_free_their_places(client, sql, reviewer):
    for number in range(1, 4):
        await register(client, number)
    wanted = {"teams": teams(1, 3), "reason": "No receipt came."}

    results = data(await execute(client, REJECT, {"input": wanted}, **reviewer))["rejectTeams"]

    assert [result["team"]["status"] for result in results["results"]] == ["REJECTED", "REJECTED"]
    assert await sql.fetchval("SELECT taken FROM tournament") == 1
    reasons = await sql.fetch("SELECT reason FROM decision")
    assert [row["reason"] for row in reasons] == ["No receipt came."] * 2


async def test_repeated_team_is_decided_once(client, sql, reviewer):
    await register(client, 1)

    answer = await execute(client, CONFIRM, {"input": {"teams": teams(1, 1)}}, **reviewer)

    codes = [
        result["error"] and result["error"]["code"]
        for result in answer.json()["data"]["confirmTeams"]["results"]
    ]
    assert codes == [None, "STALE_VERSION"]


@pytest.mark.parametrize("place", range(6))
async def test_issue_of_a_team_has_its_index_in_the_path(client, services, sql, reviewer, place):
    await register(client)
    data(await decide(client, reviewer, TeamAction.REJECT))
    await register(client, 1, captain=factories.person(90, phone=factories.person(0)["phone"]))
    before = await everything(sql)
    wanted = BulkDecision(
        action=TeamAction.REOPEN,
        reason="Back.",
        teams=[(code, 2) for code in [*["ICCT-009"] * place, "ICCT-001", "ICCT-009"]],
    )

    outcomes = await bulk.decide_bulk(services, SYSTEM, wanted)

    (issue,) = outcomes[place].issues
    path = ("input", "teams", place, "teamId")
    assert (issue.path, issue.code) == (path, "DUPLICATE_CAPTAIN_PHONE")
    assert {type(outcome).__name__ for outcome in outcomes} == {"InvalidForm", "TeamNotFound"}
    assert await everything(sql) == before


TOO_FEW = ("/input/teams", "LIST_TOO_SHORT", {"min": 1, "actual": 0})
TOO_MANY = ("/input/teams", "LIST_TOO_LONG", {"max": 100, "actual": 101})
LONG_OVERRIDE = ("/input/overrideReason", "NAME_TOO_LONG", {"max": 500})
NO_REASON = ("/input/reason", "TEXT_REQUIRED", {})


@pytest.mark.parametrize(
    ("query", "wanted", "issues"),
    [
        (CONFIRM, {"teams": []}, [TOO_FEW]),
        (CONFIRM, {"teams": [], "overrideReason": "x" * 501}, [TOO_FEW, LONG_OVERRIDE]),
        (CONFIRM, {"teams": teams(1) * (MAX_DECISIONS + 1)}, [TOO_MANY]),
        (REJECT, {"teams": [], "reason": "No receipt came."}, [TOO_FEW]),
        (REJECT, {"teams": [], "reason": " "}, [TOO_FEW, NO_REASON]),
        (REJECT, {"teams": teams(1) * (MAX_DECISIONS + 1), "reason": ""}, [TOO_MANY, NO_REASON]),
        (REJECT, {"teams": teams(1), "reason": ""}, [NO_REASON]),
        (
            REJECT,
            {"teams": teams(1), "reason": "x" * 501},
            [("/input/reason", "NAME_TOO_LONG", {"max": 500})],
        ),
    ],
    ids=[
        *("none", "none with a long override", "too many", "none to reject", "nothing at all"),
        *("too many, no reason", "no reason", "long reason"),
    ],
)
async def test_invalid_request_decides_no_team(client, sql, reviewer, query, wanted, issues):
    await register(client, 1)
    before = await everything(sql)

    answer = await execute(client, query, {"input": wanted}, **reviewer)

    refusal = error_extensions(answer)
    assert refusal["code"] == "VALIDATION_FAILED"
    found = [(issue["pointer"], issue["code"], issue["params"]) for issue in refusal["issues"]]
    assert found == issues
    assert await everything(sql) == before
