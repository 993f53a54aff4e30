"""Updates of teams by their captains."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from domain.teams.status import TeamAction, TeamStatus
from tests import factories, sample_files
from tests.graphql_client import data, error_extensions, execute
from tests.schema.teams.test_after_reissue import until_somebody_waits
from tests.schema.teams.test_corrections import rows
from tests.schema.teams.test_decisions import decide, put_in
from tests.schema.test_documents import FULL_SET
from tests.uploading import upload, with_documents

UPDATE = """
mutation Update($input: UpdateMyTeamInput!) {
  updateMyTeam(input: $input) {
    team {
      name version status captain { phone }
      documents { id kind review } players { code name documents { id kind review } }
    }
  }
}
"""
MINE = "{ myTeam { documents { id kind } players { code name documents { id kind } } } }"


@pytest.fixture
async def token(client) -> str:
    answer = await execute(client, factories.REGISTER, {"input": factories.team(1)})
    return data(answer)["registerTeam"]["manageToken"]


@pytest.fixture
async def documented(client, sql) -> str:
    """The manage token of a team with all required documents."""
    await sql.execute("UPDATE tournament SET required_documents = $1", FULL_SET)
    team = await with_documents(client, factories.team(1, players=factories.players(11)))
    return data(await execute(client, factories.REGISTER, {"input": team}))["registerTeam"][
        "manageToken"
    ]


async def update(client, token: str, version: int = 1, **wanted):
    given = {"expectedVersion": version, **wanted}
    return await execute(client, UPDATE, {"input": given}, Authorization=f"Bearer {token}")


def updated(answer) -> dict:
    return data(answer)["updateMyTeam"]["team"]


def squad(count: int = 15) -> list[dict]:
    """Return the complete squad of the first registered team."""
    return [
        {"playerCode": f"ICCT-001-P{place:02}", **player}
        for place, player in enumerate(factories.players(count), start=1)
    ]


async def test_names_contacts_and_squad_are_changed_in_one_step(client, sql, token):
    members = squad()
    members[0] |= {"name": "Someone Else", "jerseyNumber": 10}
    del members[14]
    members.append({"name": "New Man"})

    team = updated(
        await update(
            client, token, teamName="Tigers", captain=factories.person(50), players=members
        )
    )

    assert (team["name"], team["version"]) == ("Tigers", 2)
    assert team["captain"]["phone"] == factories.person(50)["phone"]
    assert [player["code"] for player in team["players"]][-2:] == ["ICCT-001-P14", "ICCT-001-P16"]
    assert team["players"][0]["name"] == "Someone Else"
    record = await sql.fetchrow("SELECT actor, action, changes FROM audit_event ORDER BY id DESC")
    assert (record["actor"], record["action"]) == ("captain", "team.updated")
    assert json.loads(record["changes"])["fields"] == [
        "teamName",
        "captain.name",
        "captain.phone",
        "captain.whatsapp",
        "captain.email",
        "ICCT-001-P01.name",
        "ICCT-001-P01.jerseyNumber",
        "ICCT-001-P16",
        "ICCT-001-P15",
    ]


async def test_two_players_swap_their_numbers(client, sql, token):
    members = squad()
    members[0]["jerseyNumber"], members[1]["jerseyNumber"] = 7, 8
    updated(await update(client, token, players=members))
    members[0]["jerseyNumber"], members[1]["jerseyNumber"] = 8, 7

    updated(await update(client, token, 2, players=members))

    numbers = await sql.fetch("SELECT jersey_number FROM player ORDER BY position LIMIT 2")
    assert [row["jersey_number"] for row in numbers] == [8, 7]


async def test_all_issues_of_an_update_are_reported_at_once(client, sql, documented):
    before = await rows(sql)
    members = squad(11)
    members[3]["name"] = "4"
    members.append({"name": "New Man", "documents": [{"kind": "PHOTO", "documentId": "x"}]})
    letter = {"kind": "PASTOR_LETTER", "documentId": "nothing"}

    answer = await update(client, documented, teamName="!!!", players=members, documents=[letter])

    issues = [(issue["pointer"], issue["code"]) for issue in error_extensions(answer)["issues"]]
    assert issues == [
        ("/input/teamName", "NAME_CHARACTERS"),
        ("/input/players/3/name", "NAME_CHARACTERS"),
        ("/input/players/11/documents", "MISSING_DOCUMENT"),
        ("/input/players/11/documents/0/documentId", "DOCUMENT_UNKNOWN"),
        ("/input/documents/0/kind", "DOCUMENT_WRONG_KIND"),
    ]
    assert await rows(sql) == before


async def test_only_rejected_documents_are_replaced(client, services, sql, documented, reviewer):
    mine = data(await execute(client, MINE, Authorization=f"Bearer {documented}"))["myTeam"]
    of = {document["kind"]: document["id"] for document in mine["documents"]}
    await sql.execute("UPDATE document SET review = 'ACCEPTED'")
    await sql.execute("UPDATE document SET review = 'REJECTED' WHERE kind = 'PASTOR_LETTER'")
    letter = await upload(client, "PASTOR_LETTER", sample_files.pdf(pages=2))
    receipt = await upload(client, "PAYMENT_RECEIPT", sample_files.jpeg())

    both = [
        {"kind": "PASTOR_LETTER", "documentId": letter},
        {"kind": "PAYMENT_RECEIPT", "documentId": receipt},
    ]
    refusal = await update(client, documented, documents=both)
    team = updated(await update(client, documented, documents=both[:1]))

    assert error_extensions(refusal)["issues"][0]["pointer"] == "/input/documents/1/kind"
    now = {document["kind"]: document for document in team["documents"]}
    assert now["PASTOR_LETTER"] == {"id": letter, "kind": "PASTOR_LETTER", "review": "PENDING"}
    assert now["PAYMENT_RECEIPT"]["id"] == of["PAYMENT_RECEIPT"]
    assert team["version"] == 2


async def test_fields_and_documents_of_an_update_are_audited(client, sql, documented, reviewer):
    mine = data(await execute(client, MINE, Authorization=f"Bearer {documented}"))["myTeam"]
    letter = next(
        document["id"] for document in mine["documents"] if document["kind"] == "PASTOR_LETTER"
    )
    await sql.execute("UPDATE document SET review = 'REJECTED' WHERE id = $1", letter)
    new = await upload(client, "PASTOR_LETTER")
    documents = [{"kind": "PASTOR_LETTER", "documentId": new}]

    both = updated(await update(client, documented, teamName="Tigers", documents=documents))

    assert (both["name"], both["version"]) == ("Tigers", 2)
    changes = await sql.fetchval("SELECT changes FROM audit_event ORDER BY id DESC LIMIT 1")
    assert json.loads(changes) == {"fields": ["teamName"], "documents": 1, "version": [1, 2]}


async def test_new_player_needs_the_required_documents(client, sql, documented):
    proof = await upload(client, "IDENTITY_PROOF", sample_files.pdf())
    card = await upload(client, "SUBSCRIPTION_CARD", sample_files.jpeg())
    new = {
        "name": "New Man",
        "documents": [
            {"kind": "IDENTITY_PROOF", "documentId": proof},
            {"kind": "SUBSCRIPTION_CARD", "documentId": card},
        ],
    }

    team = updated(await update(client, documented, players=[*squad(11), new]))

    assert (team["version"], team["players"][11]["code"]) == (2, "ICCT-001-P12")
    assert {document["id"] for document in team["players"][11]["documents"]} == {proof, card}


async def test_update_without_a_difference_writes_nothing(client, sql, token):
    before = await rows(sql)

    team = updated(await update(client, token, teamName="Warriors 1", players=squad()))

    assert team["version"] == 1
    assert await rows(sql) == before


@pytest.mark.parametrize(
    "members",
    [
        [{"playerCode": "ICCT-002-P01", "name": "A Man"}],
        [{"playerCode": "ICCT-001-P01", "name": "A"}, {"playerCode": "icct-001-p01", "name": "B"}],
        [{"playerCode": "nonsense", "name": "A Man"}],
    ],
    ids=["another team's", "twice", "nonsense"],
)
async def test_player_codes_must_belong_to_the_team(client, sql, token, members):
    before = await rows(sql)

    answer = await update(client, token, players=members)

    issues = error_extensions(answer)["issues"]
    assert [(issue["pointer"], issue["code"]) for issue in issues] == [
        (f"/input/players/{len(members) - 1}/playerCode", "PLAYER_UNKNOWN")
    ]
    assert await rows(sql) == before


@pytest.mark.parametrize(
    "status", [TeamStatus.CONFIRMED, TeamStatus.REJECTED, TeamStatus.WITHDRAWN]
)
async def test_decided_team_cannot_be_updated_by_its_captain(client, sql, token, status):
    await put_in(sql, status)
    before = await rows(sql)

    answer = await update(client, token, teamName="Tigers")

    assert error_extensions(answer)["code"] == "INVALID_STATUS_TRANSITION"
    assert await rows(sql) == before


async def test_update_after_closing_needs_requested_changes(client, sql, token, reviewer):
    await sql.execute("UPDATE tournament SET closes_at = $1", datetime.now(UTC) - timedelta(days=1))

    closed = await update(client, token, teamName="Tigers")
    data(await decide(client, reviewer, TeamAction.REQUEST_CHANGES))
    asked_for = updated(await update(client, token, 2, teamName="Tigers"))

    assert error_extensions(closed)["code"] == "REGISTRATION_CLOSED"
    assert (asked_for["name"], asked_for["status"]) == ("Tigers", "CHANGES_REQUESTED")


async def test_stale_version_reports_the_current_version(client, sql, token):
    before = await rows(sql)

    answer = await update(client, token, 3, teamName="Tigers")

    assert error_extensions(answer)["details"] == {"currentVersion": 1, "isYours": False}
    assert await rows(sql) == before


async def test_contacts_of_another_team_are_refused(client, sql, token):
    data(await execute(client, factories.REGISTER, {"input": factories.team(2)}))
    before = await rows(sql)

    answer = await update(
        client, token, captain=factories.person(50, email=factories.person(4)["email"])
    )

    assert error_extensions(answer)["issues"][0]["code"] == "DUPLICATE_CAPTAIN_EMAIL"
    assert await rows(sql) == before


@pytest.mark.parametrize(
    ("meanwhile", "code"),
    [
        ("UPDATE document SET claimed_at = now(), team_id = (SELECT id FROM team OFFSET 1)",
         "DOCUMENT_ALREADY_USED"),
        ("DELETE FROM document", "DOCUMENT_UNKNOWN"),
    ],
)  # fmt: skip
async def test_document_that_was_taken_meanwhile_is_named(client, sql, token, meanwhile, code):
    data(await execute(client, factories.REGISTER, {"input": factories.team(2)}))
    letter, receipt = await upload(client, "PASTOR_LETTER"), await upload(client, "PAYMENT_RECEIPT")
    documents = [
        {"kind": "PASTOR_LETTER", "documentId": letter},
        {"kind": "PAYMENT_RECEIPT", "documentId": receipt},
    ]

    async with sql.transaction():
        await sql.execute("SELECT 1 FROM team WHERE code = 'ICCT-001' FOR UPDATE")
        editing = asyncio.create_task(update(client, token, documents=documents))
        await until_somebody_waits(sql)
        await sql.execute(f"{meanwhile} WHERE id = $1", UUID(receipt))
    answer = await editing

    (issue,) = error_extensions(answer)["issues"]
    assert error_extensions(answer)["code"] == "VALIDATION_FAILED"
    assert (issue["path"], issue["code"]) == (["input", "documents", 1, "documentId"], code)
    assert await sql.fetchval("SELECT version FROM team WHERE code = 'ICCT-001'") == 1
    assert await sql.fetchval("SELECT team_id FROM document WHERE id = $1", UUID(letter)) is None
    assert await sql.fetchval("SELECT count(*) FROM audit_event WHERE action = 'team.updated'") == 0
