"""One team from its registration to its end, through HTTP alone."""

import csv
import io

import pytest

from domain.auth.roles import Role
from resolvers.documents.jobs import HANDLERS
from resolvers.operations.outbox import deliver_due
from tests import factories, sample_files
from tests.accounts import PASSWORD, SIGN_IN, new_organiser, role_email, with_real_clock
from tests.graphql_client import data, error_extensions, execute
from tests.schema.test_documents import FULL_SET
from tests.uploading import upload, with_documents

KEY = "one team, one life"
TEAM = """
query Team($code: String!) {
  team(code: $code) {
    status version
    readiness { isReady nextOperation }
    documents { id kind review link { url } } players { documents { id review } }
    history { action actor { kind } }
  }
}
"""
STATUS = "team { status version }"


@pytest.fixture
async def owner(client, services) -> dict[str, str]:
    """Signed in as anybody signs in."""
    await new_organiser(with_real_clock(services), Role.OWNER)
    wanted = {"email": role_email(Role.OWNER), "password": PASSWORD}
    answer = data(await execute(client, SIGN_IN, {"input": wanted}))["signIn"]
    return {"Authorization": f"Bearer {answer['token']}"}


async def do(client, name: str, who: dict, fields: str = STATUS, **wanted) -> dict:
    kind = f"{name[0].upper()}{name[1:]}Input"
    query = f"mutation M($input: {kind}!) {{ {name}(input: $input) {{ {fields} }} }}"
    return data(await execute(client, query, {"input": wanted}, **who))[name]


async def test_the_whole_life_of_a_team(client, services, sql, owner):
    kinds = [kind.value for kind in FULL_SET]
    await do(client, "updateTournament", owner, "tournament { name }", requiredDocuments=kinds)

    # The captain registers, and the phone sends it twice.
    form = await with_documents(client, factories.team(1, players=factories.players(11)))
    sent = [
        await execute(client, factories.REGISTER, {"input": form}, Idempotency_Key=KEY)
        for _ in "12"
    ]
    registered, repeated = (data(answer)["registerTeam"] for answer in sent)
    assert (registered["replayed"], repeated["replayed"]) == (False, True)
    assert registered["team"]["code"] == repeated["team"]["code"] == "ICCT-001"
    captain = {"Authorization": f"Bearer {registered['manageToken']}"}

    await look_and_ask(client, owner)

    # The captain corrects the name, sends another letter, and hands the team in again.
    changed = await do(
        client, "updateMyTeam", captain, "team { name version }", expectedVersion=2,
        teamName="Lions of Bethel",
    )  # fmt: skip
    assert changed["team"] == {"name": "Lions of Bethel", "version": 3}
    better = await upload(client, "PASTOR_LETTER", sample_files.pdf(pages=2))
    letter = [{"kind": "PASTOR_LETTER", "documentId": better}]
    again = await do(client, "resubmitMyTeam", captain, expectedVersion=3, documents=letter)
    assert again["team"] == {"status": "PENDING", "version": 4}

    version = await accept_and_confirm(client, owner)

    # Its squad is exported.
    export = await do(client, "exportTeams", owner, "url", format="CSV")
    content = (await client.get(export["url"])).content.decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(content)))
    assert {(row["Team"], row["Status"]) for row in rows} == {("Lions of Bethel", "CONFIRMED")}
    assert [row["Player"] for row in rows] == [player["name"] for player in factories.players(11)]

    await forget(client, services, owner, version)
    await nobody_knows(client, captain, form)
    trail = await sql.fetch("SELECT action FROM audit_event WHERE team_id IS NOT NULL ORDER BY id")
    assert [row["action"] for row in trail] == [
        "team.registered",
        "document.viewed",
        "team.changes_requested",
        "team.updated",
        "team.resubmitted",
        *["document.reviewed"] * 25,
        "team.confirmed",
        "team.erased",
    ]


async def forget(client, services, owner: dict, version: int) -> None:
    """The season is over: rows and files go."""
    wanted = {"teamId": "ICCT-001", "expectedVersion": version}
    erased = await do(client, "eraseTeam", owner, "code documentsErased", **wanted)
    assert erased == {"code": "ICCT-001", "documentsErased": 25 + 1}
    await deliver_due(with_real_clock(services), HANDLERS)
    assert [path for path in services.storage.primary_store.root.rglob("*") if path.is_file()] == []
    lost = await execute(client, TEAM, {"code": "ICCT-001"}, **owner)
    assert data(lost) == {"team": None}


async def accept_and_confirm(client, owner: dict) -> int:
    """Every document is accepted, and the team confirmed; its version then."""
    team = data(await execute(client, TEAM, {"code": "ICCT-001"}, **owner))["team"]
    documents = [*team["documents"], *(d for p in team["players"] for d in p["documents"])]
    assert len(documents) == 3 + 22
    version = 4
    for document in documents:
        await do(
            client,
            "reviewDocument",
            owner,
            documentId=document["id"],
            expectedVersion=version,
            review="ACCEPTED",
        )
        version += 1
    team = data(await execute(client, TEAM, {"code": "ICCT-001"}, **owner))["team"]
    assert team["readiness"] == {"isReady": True, "nextOperation": "confirmTeam"}
    confirmed = await do(client, "confirmTeam", owner, teamId="ICCT-001", expectedVersion=version)
    assert confirmed["team"] == {"status": "CONFIRMED", "version": version + 1}
    return version + 1


async def look_and_ask(client, owner: dict) -> None:
    """An organiser finds it, looks at a document, and asks for a better letter."""
    query = "{ teams(filter: {status: [PENDING]}) { totalCount nodes { code } } }"
    listed = data(await execute(client, query, **owner))["teams"]
    assert listed == {"totalCount": 1, "nodes": [{"code": "ICCT-001"}]}
    team = data(await execute(client, TEAM, {"code": "ICCT-001"}, **owner))["team"]
    assert team["readiness"] == {"isReady": False, "nextOperation": "reviewDocument"}
    (letter,) = [one for one in team["documents"] if one["kind"] == "PASTOR_LETTER"]
    seen = await client.get(letter["link"]["url"])
    assert (seen.status_code, seen.headers["Content-Type"]) == (200, "application/pdf")
    items = [{"note": "Please have it signed.", "documentId": letter["id"]}]
    asked = await do(
        client, "requestChanges", owner, teamId="ICCT-001", expectedVersion=1, items=items
    )
    assert asked["team"] == {"status": "CHANGES_REQUESTED", "version": 2}


async def nobody_knows(client, captain: dict, form: dict) -> None:
    gone = await execute(client, "{ myTeam { code } }", **captain)
    assert error_extensions(gone)["code"] == "UNAUTHENTICATED"
    repeat = await execute(client, factories.REGISTER, {"input": form}, Idempotency_Key=KEY)
    assert error_extensions(repeat)["code"] == "TEAM_NOT_FOUND"
