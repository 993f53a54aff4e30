"""One team from its registration to its end, through HTTP alone."""

import csv
import io

import pytest

from domain.auth.roles import Role
from resolvers.documents.jobs import HANDLERS
from resolvers.operations.outbox import deliver_due
from tests import files, make
from tests.asking import ask, data, refused
from tests.schema.test_documents import FULL_SET
from tests.sending import send, with_documents
from tests.signing_in import PASSWORD, SIGN_IN, email_of, in_real_time, organiser

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
    await organiser(in_real_time(services), Role.OWNER)
    wanted = {"email": email_of(Role.OWNER), "password": PASSWORD}
    answer = data(await ask(client, SIGN_IN, {"input": wanted}))["signIn"]
    return {"Authorization": f"Bearer {answer['token']}"}


async def do(client, name: str, who: dict, fields: str = STATUS, **wanted) -> dict:
    kind = f"{name[0].upper()}{name[1:]}Input"
    query = f"mutation M($input: {kind}!) {{ {name}(input: $input) {{ {fields} }} }}"
    return data(await ask(client, query, {"input": wanted}, **who))[name]


async def test_the_whole_life_of_a_team(client, services, sql, owner):
    kinds = [kind.value for kind in FULL_SET]
    await do(client, "updateTournament", owner, "tournament { name }", requiredDocuments=kinds)

    # The captain registers, and the phone sends it twice.
    form = await with_documents(client, make.team(1, players=make.players(11)))
    sent = [await ask(client, make.REGISTER, {"input": form}, Idempotency_Key=KEY) for _ in "12"]
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
    better = await send(client, "PASTOR_LETTER", files.pdf(pages=2))
    letter = [{"kind": "PASTOR_LETTER", "documentId": better}]
    again = await do(client, "resubmitMyTeam", captain, expectedVersion=3, documents=letter)
    assert again["team"] == {"status": "PENDING", "version": 4}

    version = await accept_and_confirm(client, owner)

    # Its squad is exported.
    export = await do(client, "exportTeams", owner, "url", format="CSV")
    content = (await client.get(export["url"])).content.decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(content)))
    assert {(row["Team"], row["Status"]) for row in rows} == {("Lions of Bethel", "CONFIRMED")}
    assert [row["Player"] for row in rows] == [player["name"] for player in make.players(11)]

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
    await deliver_due(in_real_time(services), HANDLERS)
    assert [path for path in services.storage.media.root.rglob("*") if path.is_file()] == []
    lost = await ask(client, TEAM, {"code": "ICCT-001"}, **owner)
    assert data(lost) == {"team": None}


async def accept_and_confirm(client, owner: dict) -> int:
    """Every document is accepted, and the team confirmed; its version then."""
    team = data(await ask(client, TEAM, {"code": "ICCT-001"}, **owner))["team"]
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
    team = data(await ask(client, TEAM, {"code": "ICCT-001"}, **owner))["team"]
    assert team["readiness"] == {"isReady": True, "nextOperation": "confirmTeam"}
    confirmed = await do(client, "confirmTeam", owner, teamId="ICCT-001", expectedVersion=version)
    assert confirmed["team"] == {"status": "CONFIRMED", "version": version + 1}
    return version + 1


async def look_and_ask(client, owner: dict) -> None:
    """An organiser finds it, looks at a document, and asks for a better letter."""
    query = "{ teams(filter: {status: [PENDING]}) { totalCount nodes { code } } }"
    listed = data(await ask(client, query, **owner))["teams"]
    assert listed == {"totalCount": 1, "nodes": [{"code": "ICCT-001"}]}
    team = data(await ask(client, TEAM, {"code": "ICCT-001"}, **owner))["team"]
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
    gone = await ask(client, "{ myTeam { code } }", **captain)
    assert refused(gone)["code"] == "UNAUTHENTICATED"
    repeat = await ask(client, make.REGISTER, {"input": form}, Idempotency_Key=KEY)
    assert refused(repeat)["code"] == "TEAM_NOT_FOUND"
