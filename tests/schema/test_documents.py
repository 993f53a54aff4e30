"""Registration with documents."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from domain.documents import PLAYER_KINDS, TEAM_KINDS
from tests import factories, sample_files
from tests.graphql_client import data, error_extensions, execute
from tests.uploading import open_upload, put, upload, with_documents

REGISTER = """
mutation Register($input: RegisterTeamInput!) {
  registerTeam(input: $input) {
    replayed
    team {
      id code documents { id kind format byteSize review reviewNote uploadedAt }
      players { code documents { id kind format } }
    }
  }
}
"""
LINK = """
mutation Register($input: RegisterTeamInput!) {
  registerTeam(input: $input) { team { code documents { id link { url } } } }
}
"""
DAY = timedelta(hours=24)
FULL_SET = [*TEAM_KINDS, *PLAYER_KINDS[:2]]


@pytest.fixture
async def full_set(sql):
    """Make all documents required in the tournament."""
    await sql.execute(
        "UPDATE tournament SET required_documents = $1", [kind.value for kind in FULL_SET]
    )


def letter(document_id: str) -> dict:
    return {"kind": "PASTOR_LETTER", "documentId": document_id}


def issues(answer) -> list[tuple[str, str]]:
    return [(issue["pointer"], issue["code"]) for issue in error_extensions(answer)["issues"]]


async def both_refuse(client, team) -> list[tuple[str, str]]:
    """Return the issues, after comparing those of the dry run and the registration."""
    answer = await execute(client, REGISTER, {"input": team})
    dry = data(await execute(client, factories.VALIDATE, {"input": team}))["validateTeam"]
    assert [(issue["pointer"], issue["code"]) for issue in dry["issues"]] == issues(answer)
    return issues(answer)


async def claimed(sql) -> int:
    return await sql.fetchval("SELECT count(*) FROM document WHERE team_id IS NOT NULL")


async def test_team_with_all_required_documents_is_registered(client, full_set, sql):
    team = await with_documents(client, factories.team())

    answer = await execute(client, REGISTER, {"input": team})

    registered = data(answer)["registerTeam"]["team"]
    assert [document["kind"] for document in registered["documents"]] == list(TEAM_KINDS)
    assert registered["documents"][0] == {
        "id": team["documents"][0]["documentId"],
        "kind": "PASTOR_LETTER",
        "format": "PDF",
        "byteSize": len(sample_files.pdf()),
        "review": "PENDING",
        "reviewNote": None,
        "uploadedAt": registered["documents"][0]["uploadedAt"],
    }
    for player in registered["players"]:
        assert [item["kind"] for item in player["documents"]] == list(PLAYER_KINDS[:2])
    assert await claimed(sql) == 33


async def test_repeated_registration_shows_the_documents(client, full_set):
    team = await with_documents(client, factories.team())
    first = await execute(client, REGISTER, {"input": team}, Idempotency_Key="key-of-mine")

    again = await execute(client, REGISTER, {"input": team}, Idempotency_Key="key-of-mine")

    replay = data(again)["registerTeam"]
    assert replay["replayed"]
    assert replay["team"] == data(first)["registerTeam"]["team"]


async def test_each_missing_document_is_an_issue(client, full_set, sql):
    found = await both_refuse(client, factories.team())

    assert found == [
        *((f"/input/players/{n}/documents", "MISSING_DOCUMENT") for n in range(15)),
        ("/input/documents", "MISSING_DOCUMENT"),
    ]
    assert await sql.fetchval("SELECT count(*) FROM team") == 0


async def test_documents_are_optional_if_none_are_required(client, sql):
    answer = await execute(client, REGISTER, {"input": factories.team()})

    assert data(answer)["registerTeam"]["team"]["documents"] == []


async def test_optional_documents_are_kept(client, sql):
    document_id = await upload(client, "PASTOR_LETTER")

    answer = await execute(
        client, REGISTER, {"input": factories.team(documents=[letter(document_id)])}
    )

    (kept,) = data(answer)["registerTeam"]["team"]["documents"]
    assert kept["id"] == document_id


@pytest.mark.parametrize("unknown", ["", "x", "../../etc/passwd", "7" * 32, "0" * 32])
async def test_unknown_document_id_is_an_issue(client, sql, unknown):
    found = await both_refuse(client, factories.team(documents=[letter(unknown)]))

    assert found == [("/input/documents/0/documentId", "DOCUMENT_UNKNOWN")]


async def test_incomplete_upload_is_an_unknown_document(client):
    content = sample_files.pdf()
    ticket = await open_upload(client, "PASTOR_LETTER", content)
    await put(client, ticket, content[:10], content_range=f"bytes 0-9/{len(content)}")

    found = await both_refuse(client, factories.team(documents=[letter(ticket.document_id)]))

    assert found == [("/input/documents/0/documentId", "DOCUMENT_UNKNOWN")]


async def test_expired_upload_is_an_unknown_document(client, sql):
    document_id = await upload(client, "PASTOR_LETTER")
    await sql.execute("UPDATE document SET created_at = created_at - $1::interval", DAY)

    found = await both_refuse(client, factories.team(documents=[letter(document_id)]))

    assert found == [("/input/documents/0/documentId", "DOCUMENT_UNKNOWN")]


async def test_document_of_another_kind_is_refused(client, sql):
    document_id = await upload(client, "PAYMENT_RECEIPT")

    found = await both_refuse(client, factories.team(documents=[letter(document_id)]))

    assert found == [("/input/documents/0/documentId", "DOCUMENT_WRONG_KIND")]
    assert await claimed(sql) == 0


async def test_document_used_twice_is_an_issue(client):
    document_id = await upload(client, "IDENTITY_PROOF")
    proof = [{"kind": "IDENTITY_PROOF", "documentId": document_id}]
    shouted = [{"kind": "IDENTITY_PROOF", "documentId": str(UUID(document_id)).upper()}]
    players = factories.players()
    players[0]["documents"], players[4]["documents"] = proof, shouted

    found = await both_refuse(client, factories.team(players=players))

    assert found == [("/input/players/4/documents/0/documentId", "DOCUMENT_ALREADY_USED")]


async def test_another_teams_document_is_refused(client, sql):
    document_id = await upload(client, "PASTOR_LETTER")
    await execute(client, REGISTER, {"input": factories.team(1, documents=[letter(document_id)])})
    owner = await sql.fetchval("SELECT team_id FROM document")

    found = await both_refuse(client, factories.team(2, documents=[letter(document_id)]))

    assert found == [("/input/documents/0/documentId", "DOCUMENT_ALREADY_USED")]
    assert await sql.fetchval("SELECT team_id FROM document") == owner
    assert await sql.fetchval("SELECT count(*) FROM team") == 1


async def test_only_one_of_two_concurrent_teams_gets_a_document(client, sql):
    for number in range(0, 20, 2):
        named = [letter(await upload(client, "PASTOR_LETTER"))]

        answers = await asyncio.gather(
            *(
                execute(client, REGISTER, {"input": factories.team(number + item, documents=named)})
                for item in (0, 1)
            )
        )

        winner, loser = sorted(answers, key=lambda answer: "errors" in answer.json())
        assert len(data(winner)["registerTeam"]["team"]["documents"]) == 1
        assert issues(loser) == [("/input/documents/0/documentId", "DOCUMENT_ALREADY_USED")]
    assert await sql.fetchval("SELECT count(*) FROM team") == 10
    assert await sql.fetchval("SELECT taken FROM tournament") == 10
    codes = await sql.fetch("SELECT code FROM team ORDER BY code")
    assert [row["code"] for row in codes] == [f"ICCT-{n:03}" for n in range(1, 11)]


async def test_stranger_and_captain_see_no_link_and_no_error(client):
    document_id = await upload(client, "PASTOR_LETTER")

    answer = await execute(client, LINK, {"input": factories.team(documents=[letter(document_id)])})

    team = data(answer)["registerTeam"]["team"]
    assert team["documents"] == [{"id": document_id, "link": None}]


async def test_storage_locations_are_never_shown(client, full_set, sql):
    team = await with_documents(client, factories.team())

    answer = await execute(client, REGISTER, {"input": team})

    names = [row["storage_name"] for row in await sql.fetch("SELECT storage_name FROM document")]
    assert len(names) == 33
    assert [name for name in names if name in answer.text] == []
    assert (
        "storage"
        not in (await execute(client, "{ __schema { types { name fields { name } } } }")).text
    )
