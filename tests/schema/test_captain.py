"""The captain's own team: reading, resubmission, withdrawal."""

import pytest

from domain.auth.roles import Role
from tests import factories
from tests.accounts import bearer_headers
from tests.graphql_client import data, error_extensions, execute
from tests.schema.test_documents import FULL_SET
from tests.uploading import upload, with_documents

MY_TEAM = """
query Mine($token: String) {
  myTeam(token: $token) {
    code status version captain { phone }
    documents { id kind review reviewNote }
    players { code documents { id kind review } }
    readiness { nextOperation blockers { code actor } }
  }
}
"""
RESUBMIT = """
mutation Again($input: ResubmitMyTeamInput!) {
  resubmitMyTeam(input: $input) { team { status version documents { id kind review } } }
}
"""
WITHDRAW = """
mutation Leave($input: WithdrawMyTeamInput!) {
  withdrawMyTeam(input: $input) { team { status version } }
}
"""
CHANGES = """
mutation Changes($input: RequestChangesInput!) {
  requestChanges(input: $input) { team { version } }
}
"""


@pytest.fixture
async def token(client, sql) -> str:
    """The manage token of a team with all required documents."""
    await sql.execute("UPDATE tournament SET required_documents = $1", FULL_SET)
    team = await with_documents(client, factories.team())
    return data(await execute(client, factories.REGISTER, {"input": team}))["registerTeam"][
        "manageToken"
    ]


async def mine(client, token: str) -> dict:
    return data(await execute(client, MY_TEAM, Authorization=f"Bearer {token}"))["myTeam"]


async def letter_rejected(client, services, token: str) -> str:
    """The id of a letter that an organiser rejected."""
    letter = (await mine(client, token))["documents"][0]["id"]
    wanted = {
        "teamId": "ICCT-001",
        "expectedVersion": 1,
        "items": [{"note": "Please have it signed.", "documentId": letter}],
    }
    reviewer = await bearer_headers(services, Role.REVIEWER)
    data(await execute(client, CHANGES, {"input": wanted}, **reviewer))
    return letter


async def resubmit(client, token: str, **changes):
    wanted = {"expectedVersion": 2, "token": token} | changes
    return await execute(client, RESUBMIT, {"input": wanted})


async def test_manage_token_is_accepted_as_header_and_argument(client, token):
    by_header = await mine(client, token)
    by_argument = data(await execute(client, MY_TEAM, {"token": token}))["myTeam"]

    assert by_header == by_argument
    assert (by_header["code"], by_header["captain"]) == ("ICCT-001", {"phone": "+919000000000"})
    assert len(by_header["documents"]) == 3


@pytest.mark.parametrize(
    "change",
    [
        lambda token: token[:-1] + ("A" if token[-1] != "A" else "B"),
        lambda token: token.replace("_1_", "_2_"),
        lambda token: token[:-1],
        lambda token: token + "x",
        lambda token: "icm_" + "0" * 32 + token[36:],
        lambda _: "icm_",
        lambda _: "",
    ],
    ids=["changed", "next", "cut", "longer", "of another team", "nothing but the start", "empty"],
)
async def test_wrong_manage_token_is_refused(client, token, change):
    answer = await execute(client, MY_TEAM, {"token": change(token)})

    assert error_extensions(answer)["code"] == "UNAUTHENTICATED"


async def test_token_of_an_earlier_generation_is_refused(client, token, sql):
    await sql.execute("UPDATE team SET manage_generation = 2")

    assert (
        error_extensions(await execute(client, MY_TEAM, {"token": token}))["code"]
        == "UNAUTHENTICATED"
    )


async def test_captain_sees_requested_changes(client, services, token):
    await letter_rejected(client, services, token)

    team = await mine(client, token)

    assert team["status"] == "CHANGES_REQUESTED"
    assert team["documents"][0]["review"] == "REJECTED"
    assert team["documents"][0]["reviewNote"] == "Please have it signed."
    assert team["readiness"]["nextOperation"] == "resubmitMyTeam"
    assert {"code": "DOCUMENT_REJECTED", "actor": "CAPTAIN"} in team["readiness"]["blockers"]


async def test_resubmitted_letter_replaces_the_rejected_one(client, services, token, sql):
    old = await letter_rejected(client, services, token)
    new = await upload(client, "PASTOR_LETTER")

    answer = await resubmit(client, token, documents=[{"kind": "PASTOR_LETTER", "documentId": new}])

    team = data(answer)["resubmitMyTeam"]["team"]
    assert (team["status"], team["version"]) == ("PENDING", 3)
    letters = [document for document in team["documents"] if document["kind"] == "PASTOR_LETTER"]
    assert letters == [{"id": new, "kind": "PASTOR_LETTER", "review": "PENDING"}]
    rows = await sql.fetch("SELECT id, review FROM document WHERE kind = 'PASTOR_LETTER'")
    assert {row["id"].hex: row["review"] for row in rows} == {old: "SUPERSEDED", new: "PENDING"}
    event = await sql.fetchrow("SELECT actor FROM audit_event WHERE action = 'team.resubmitted'")
    assert event["actor"] == "captain"


async def test_rejected_document_must_be_replaced(client, services, token, sql):
    await letter_rejected(client, services, token)

    found = error_extensions(await resubmit(client, token))

    assert [(issue["pointer"], issue["code"]) for issue in found["issues"]] == [
        ("/input/documents", "MISSING_DOCUMENT")
    ]
    assert await sql.fetchval("SELECT status FROM team") == "CHANGES_REQUESTED"


async def test_missing_document_of_a_player_is_named_by_index_and_code(
    client, services, token, sql
):
    await letter_rejected(client, services, token)
    await sql.execute(
        "UPDATE document d SET review = 'REJECTED' FROM player p WHERE p.id = d.player_id"
        " AND p.position IN (1, 3, 15)"
    )

    async def found(*codes: str) -> list[tuple]:
        players = [{"playerCode": code, "documents": []} for code in codes]
        issues = error_extensions(await resubmit(client, token, players=players))["issues"]
        assert issues[-1]["pointer"] == "/input/documents"
        return [(issue["pointer"], issue["params"]["playerCode"]) for issue in issues[:-1]]

    assert await found() == [
        ("/input/players/0/documents", "ICCT-001-P01"),
        ("/input/players/2/documents", "ICCT-001-P03"),
        ("/input/players/14/documents", "ICCT-001-P15"),
    ]
    assert await found("ICCT-001-P15", "ICCT-001-P03") == [
        ("/input/players/0/documents", "ICCT-001-P15"),
        ("/input/players/1/documents", "ICCT-001-P03"),
        ("/input/players/2/documents", "ICCT-001-P01"),
    ]
    assert await found("ICCT-001-P01") == [
        ("/input/players/0/documents", "ICCT-001-P01"),
        ("/input/players/2/documents", "ICCT-001-P03"),
        ("/input/players/14/documents", "ICCT-001-P15"),
    ]
    issues = error_extensions(await resubmit(client, token))["issues"]
    assert issues[0]["params"]["kinds"] == ["IDENTITY_PROOF", "SUBSCRIPTION_CARD"]
    assert "ICCT-001-P01" in issues[0]["message"]
    assert await sql.fetchval("SELECT status FROM team") == "CHANGES_REQUESTED"


@pytest.mark.parametrize(
    ("codes", "places"),
    [
        (["ICCT-002-P01"], [0]),
        (["ICCT-001-P01", "ICCT-001-P01"], [1]),
        (["ICCT-001-P01", "icct-001-p01\n", "ICCT-001-P16", ""], [1, 2, 3]),
    ],
)
async def test_unknown_player_code_is_an_issue_at_its_path(
    client, services, token, sql, codes, places
):
    await letter_rejected(client, services, token)

    players = [{"playerCode": code, "documents": []} for code in codes]
    issues = error_extensions(await resubmit(client, token, players=players))["issues"]

    assert [(issue["pointer"], issue["code"]) for issue in issues] == [
        (f"/input/players/{place}/playerCode", "PLAYER_UNKNOWN") for place in places
    ]
    assert await sql.fetchval("SELECT status FROM team") == "CHANGES_REQUESTED"


async def test_accepted_documents_stay(client, services, token, sql):
    await letter_rejected(client, services, token)
    documents = [
        {"kind": "PASTOR_LETTER", "documentId": await upload(client, "PASTOR_LETTER")},
        {"kind": "GROUP_PHOTO", "documentId": await upload(client, "GROUP_PHOTO")},
    ]

    found = error_extensions(await resubmit(client, token, documents=documents))

    assert [(issue["pointer"], issue["code"]) for issue in found["issues"]] == [
        ("/input/documents/1/kind", "DOCUMENT_WRONG_KIND")
    ]
    assert await sql.fetchval("SELECT count(*) FROM document WHERE review = 'SUPERSEDED'") == 0


async def test_a_players_document_is_replaced_by_the_players_code(client, services, token, sql):
    await letter_rejected(client, services, token)
    await sql.execute(
        "UPDATE document SET review = 'REJECTED' WHERE kind = 'IDENTITY_PROOF' AND player_id ="
        " (SELECT id FROM player WHERE position = 4)"
    )
    proof = await upload(client, "IDENTITY_PROOF")
    letter = await upload(client, "PASTOR_LETTER")

    data(
        await resubmit(
            client,
            token,
            documents=[{"kind": "PASTOR_LETTER", "documentId": letter}],
            players=[
                {
                    "playerCode": "icct-001-p04",
                    "documents": [{"kind": "IDENTITY_PROOF", "documentId": proof}],
                }
            ],
        )
    )

    proofs = (await mine(client, token))["players"][3]["documents"]
    assert [item["id"] for item in proofs if item["kind"] == "IDENTITY_PROOF"] == [proof]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"expectedVersion": 1}, "STALE_VERSION"),
        ({"players": [{"playerCode": "ICCT-002-P01", "documents": []}]}, "VALIDATION_FAILED"),
        ({"players": [{"playerCode": "ICCT-001-P01", "documents": []}] * 2}, "VALIDATION_FAILED"),
        (
            {"documents": [{"kind": "PASTOR_LETTER", "documentId": "0" * 32}]},
            "VALIDATION_FAILED",
        ),
    ],
)
async def test_invalid_resubmission_is_refused(client, services, token, changes, code):
    await letter_rejected(client, services, token)

    assert error_extensions(await resubmit(client, token, **changes))["code"] == code
    assert (await mine(client, token))["status"] == "CHANGES_REQUESTED"


async def test_resubmission_without_requested_changes_is_refused(client, token):
    found = error_extensions(await resubmit(client, token, expectedVersion=1))

    assert found["code"] == "INVALID_STATUS_TRANSITION"
    assert found["details"]["from"] == "PENDING"


async def test_captain_withdraws_the_team(client, token, sql):
    wanted = {"expectedVersion": 1, "reason": "Too few players.", "token": token}

    team = data(await execute(client, WITHDRAW, {"input": wanted}))["withdrawMyTeam"]["team"]

    assert team == {"status": "WITHDRAWN", "version": 2}
    assert await sql.fetchval("SELECT taken FROM tournament") == 0
    assert await sql.fetchval("SELECT taken FROM church") == 0
