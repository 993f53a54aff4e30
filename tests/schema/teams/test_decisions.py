"""Decisions about teams: permissions, effects and refusals."""

import asyncio
from itertools import product

import pytest

from domain.auth.roles import Role
from domain.teams.status import TeamAction, TeamStatus
from tests import factories
from tests.accounts import bearer_headers
from tests.graphql_client import data, error_extensions, execute
from tests.uploading import upload

TEAM = """
query Team($code: String!) {
  team(code: $code) {
    id code status version captain { name phone whatsapp email }
    documents { id review reviewNote link { url expiresAt } }
    players { documents { id } }
    readiness { isReady nextOperation blockers { code message actor } }
  }
}
"""
FIELDS = "team { code status version readiness { isReady nextOperation } }"
DECISIONS = {
    TeamAction.CONFIRM: ("confirmTeam", {}),
    TeamAction.REJECT: ("rejectTeam", {"reason": "No receipt."}),
    TeamAction.REOPEN: ("reopenTeam", {"reason": "A mistake of ours."}),
    TeamAction.WITHDRAW: ("withdrawTeam", {"reason": "The church asked."}),
    TeamAction.REQUEST_CHANGES: ("requestChanges", {"items": [{"note": "A clearer photo."}]}),
}
AFTER = {
    (TeamStatus.PENDING, TeamAction.CONFIRM): "CONFIRMED",
    (TeamStatus.PENDING, TeamAction.REQUEST_CHANGES): "CHANGES_REQUESTED",
    (TeamStatus.PENDING, TeamAction.REJECT): "REJECTED",
    (TeamStatus.PENDING, TeamAction.WITHDRAW): "WITHDRAWN",
    (TeamStatus.CHANGES_REQUESTED, TeamAction.REJECT): "REJECTED",
    (TeamStatus.CHANGES_REQUESTED, TeamAction.WITHDRAW): "WITHDRAWN",
    (TeamStatus.CONFIRMED, TeamAction.REOPEN): "PENDING",
    (TeamStatus.CONFIRMED, TeamAction.WITHDRAW): "WITHDRAWN",
    (TeamStatus.REJECTED, TeamAction.REOPEN): "PENDING",
}
ACTION = {
    TeamAction.CONFIRM: "team.confirmed",
    TeamAction.REQUEST_CHANGES: "team.changes_requested",
    TeamAction.REJECT: "team.rejected",
    TeamAction.WITHDRAW: "team.withdrawn",
    TeamAction.REOPEN: "team.reopened",
}
ORDER = (
    TeamAction.CONFIRM,
    TeamAction.REQUEST_CHANGES,
    TeamAction.REJECT,
    TeamAction.WITHDRAW,
    TeamAction.REOPEN,
)
MAIL = {
    TeamAction.CONFIRM: "mail.team_confirmed",
    TeamAction.REQUEST_CHANGES: "mail.changes_requested",
    TeamAction.REJECT: "mail.team_rejected",
    TeamAction.WITHDRAW: "mail.team_withdrawn",
}
LIVE = {"PENDING", "CHANGES_REQUESTED", "CONFIRMED"}


async def register(client, number: int = 0, **changes) -> str:
    answer = await execute(client, factories.REGISTER, {"input": factories.team(number, **changes)})
    return data(answer)["registerTeam"]["team"]["code"]


async def decide(client, who, event: TeamAction, code: str = "ICCT-001", version=1, **changes):
    name, fields = DECISIONS[event]
    kind = f"{name[0].upper()}{name[1:]}Input"
    query = f"mutation D($input: {kind}!) {{ {name}(input: $input) {{ {FIELDS} }} }}"
    wanted = {"teamId": code, "expectedVersion": version, **fields, **changes}
    return await execute(client, query, {"input": wanted}, **who)


async def everything(sql) -> list:
    """Return all rows that a decision may change."""
    tables = (
        "team",
        "tournament",
        "church",
        "audit_event",
        "outbox_message",
        "decision",
        "document",
    )
    return [await sql.fetch(f"SELECT * FROM {table} ORDER BY 1") for table in tables]


async def put_in(sql, status: TeamStatus) -> None:
    """Create a team in this status, with the places that it occupies."""
    taken = int(status.value in LIVE)
    await sql.execute("UPDATE team SET status = $1", status.value)
    await sql.execute("UPDATE tournament SET taken = $1", taken)
    await sql.execute("UPDATE church SET taken = $1", taken)


@pytest.mark.parametrize(("status", "event"), list(product(TeamStatus, DECISIONS)))
async def test_every_decision_in_every_status(client, sql, reviewer, status, event):
    await register(client)
    await put_in(sql, status)
    before = await everything(sql)

    answer = await decide(client, reviewer, event)

    after = AFTER.get((status, event))
    if after is None:
        found = error_extensions(answer)
        assert found["code"] == "INVALID_STATUS_TRANSITION"
        assert found["details"] == {
            "from": status.value,
            "attempted": DECISIONS[event][0],
            "allowed": [DECISIONS[item][0] for item in ORDER if (status, item) in AFTER],
        }
        assert await everything(sql) == before
        return
    team = data(answer)[DECISIONS[event][0]]["team"]
    assert (team["status"], team["version"]) == (after, 2)
    taken = int(after in LIVE)
    assert await sql.fetchval("SELECT taken FROM tournament") == taken
    assert await sql.fetchval("SELECT taken FROM church") == taken
    events = await sql.fetch(
        "SELECT action, changes FROM audit_event WHERE action <> 'team.registered'"
    )
    recorded = [e for e in events if e["action"].startswith("team.")]
    assert [e["action"] for e in recorded] == [ACTION[event]]
    assert f'"status": ["{status.value}", "{after}"]' in recorded[0]["changes"]
    outbox = await sql.fetch("SELECT kind FROM outbox_message WHERE kind <> 'mail.team_received'")
    expected = {"media.move"} | ({MAIL[event]} if event in MAIL else set())
    assert {row["kind"] for row in outbox} == expected
    assert await sql.fetchval("SELECT event FROM decision") == ACTION[event]


@pytest.mark.parametrize("event", DECISIONS)
async def test_decisions_need_a_reviewer(client, services, sql, event):
    await register(client)
    viewer = await bearer_headers(services, Role.VIEWER)
    before = await everything(sql)

    stranger, looker = [await decide(client, who, event) for who in ({}, viewer)]

    assert error_extensions(stranger)["code"] == "UNAUTHENTICATED"
    assert error_extensions(looker)["code"] == "FORBIDDEN"
    assert await everything(sql) == before


async def test_only_one_of_two_concurrent_decisions_succeeds(client, services, sql, reviewer):
    owner = await bearer_headers(services, Role.OWNER)
    for number in range(5):
        code = await register(client, number)

        answers = await asyncio.gather(
            decide(client, reviewer, TeamAction.CONFIRM, code),
            decide(client, owner, TeamAction.REJECT, code),
        )

        winner, loser = sorted(answers, key=lambda answer: "errors" in answer.json())
        assert len(data(winner)) == 1
        found = error_extensions(loser)
        details = {"currentVersion": 2, "isYours": False}
        assert (found["code"], found["details"]) == ("STALE_VERSION", details)
    decided = await sql.fetchval("SELECT count(*) FROM decision")
    assert decided == 5
    live = await sql.fetchval("SELECT count(*) FROM team WHERE status <> 'REJECTED'")
    assert await sql.fetchval("SELECT taken FROM tournament") == live


async def test_unknown_team_is_not_found(client, reviewer):
    answers = [
        await decide(client, reviewer, TeamAction.CONFIRM, code)
        for code in ("ICCT-999", "", "x", "0" * 32)
    ]

    assert {error_extensions(answer)["code"] for answer in answers} == {"TEAM_NOT_FOUND"}


@pytest.mark.parametrize(
    ("event", "changes", "issue"),
    [
        (TeamAction.REJECT, {"reason": " "}, ("/input/reason", "TEXT_REQUIRED")),
        (TeamAction.REJECT, {"reason": "x" * 501}, ("/input/reason", "NAME_TOO_LONG")),
        (
            TeamAction.WITHDRAW,
            {"reason": "His number is 2341 2341 2346."},
            ("/input/reason", "IDENTITY_NUMBER_NOT_ALLOWED"),
        ),
        (
            TeamAction.REQUEST_CHANGES,
            {"items": [{"note": "Good."}, {"note": ""}]},
            ("/input/items/1/note", "TEXT_REQUIRED"),
        ),
        (TeamAction.REQUEST_CHANGES, {"items": []}, ("/input/items", "LIST_TOO_SHORT")),
    ],
)
async def test_reasons_are_short_texts_without_identity_numbers(
    client, reviewer, event, changes, issue
):
    await register(client)

    found = error_extensions(await decide(client, reviewer, event, **changes))
    team = data(await execute(client, TEAM, {"code": "ICCT-001"}, **reviewer))["team"]

    assert [(item["pointer"], item["code"]) for item in found["issues"]] == [issue]
    assert (team["status"], team["version"]) == ("PENDING", 1)


async def test_all_invalid_notes_are_reported(client, sql, reviewer):
    await register(client)
    before = await everything(sql)
    items = [{"note": ""}, {"note": "Good."}, {"note": "x" * 501}, {}]

    found = error_extensions(
        await decide(client, reviewer, TeamAction.REQUEST_CHANGES, items=items)
    )

    assert [(issue["pointer"], issue["code"]) for issue in found["issues"]] == [
        ("/input/items/0/note", "TEXT_REQUIRED"),
        ("/input/items/2/note", "NAME_TOO_LONG"),
        ("/input/items/3/note", "TEXT_REQUIRED"),
    ]
    assert await everything(sql) == before


@pytest.mark.parametrize("given", [{"reason": ""}, {"reason": None}, {"reason": "\u200b\n"}, {}])
async def test_missing_reason_is_an_issue_of_its_own(client, sql, reviewer, given):
    await register(client)
    before = await everything(sql)
    query = "mutation R($input: RejectTeamInput!) { rejectTeam(input: $input) { __typename } }"
    wanted = {"teamId": "ICCT-001", "expectedVersion": 1, **given}

    for _ in range(2):
        (issue,) = error_extensions(await execute(client, query, {"input": wanted}, **reviewer))[
            "issues"
        ]

        assert (issue["pointer"], issue["code"]) == ("/input/reason", "TEXT_REQUIRED")
        assert issue["message"] == "Please fill this in."
    assert await everything(sql) == before


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"teamName": "warriors. 0", "churchName": "CSI CHURCH 0"}, "DUPLICATE_TEAM_NAME"),
        (
            {"captain": factories.person(90, phone=factories.person(0)["phone"])},
            "DUPLICATE_CAPTAIN_PHONE",
        ),
        (
            {"captain": factories.person(90, email=factories.person(0)["email"])},
            "DUPLICATE_CAPTAIN_EMAIL",
        ),
    ],
    ids=["name", "phone", "email"],
)
async def test_reopening_a_conflicting_team_reports_the_other_team(
    client, sql, reviewer, changes, code
):
    await register(client)
    data(await decide(client, reviewer, TeamAction.REJECT))
    await register(client, 1, **changes)
    before = await everything(sql)

    (issue,) = error_extensions(await decide(client, reviewer, TeamAction.REOPEN, version=2))[
        "issues"
    ]

    assert (issue["pointer"], issue["code"]) == ("/input/teamId", code)
    assert await everything(sql) == before


async def test_blank_override_reason_counts_as_missing(client, sql, reviewer):
    await register(client)
    await sql.execute("UPDATE tournament SET required_documents = '{PASTOR_LETTER}'")

    for blank in ("", "  ", "\u200b"):
        refusal = error_extensions(
            await decide(client, reviewer, TeamAction.CONFIRM, overrideReason=blank)
        )
        assert refusal["code"] == "INVALID_STATUS_TRANSITION"


async def test_team_without_documents_needs_an_override_reason(client, sql, reviewer):
    await register(client)
    await sql.execute("UPDATE tournament SET required_documents = '{PASTOR_LETTER}'")

    refusal = error_extensions(await decide(client, reviewer, TeamAction.CONFIRM))
    answer = await decide(client, reviewer, TeamAction.CONFIRM, overrideReason="Seen on paper.")

    assert refusal["code"] == "INVALID_STATUS_TRANSITION"
    assert refusal["details"]["blockers"] == [
        {"code": "DOCUMENT_MISSING", "message": "The team: PASTOR_LETTER is missing."}
    ]
    assert data(answer)["confirmTeam"]["team"]["status"] == "CONFIRMED"
    assert await sql.fetchval("SELECT reason FROM decision") == "Seen on paper."


REVIEW = """
mutation Review($input: ReviewDocumentInput!) {
  reviewDocument(input: $input) {
    team { version documents { review reviewNote } readiness { isReady nextOperation } }
  }
}
"""


async def with_letter(client, sql) -> str:
    """Create a team that only requires a letter; return the letter's id."""
    letter = await upload(client, "PASTOR_LETTER")
    await register(client, documents=[{"kind": "PASTOR_LETTER", "documentId": letter}])
    await sql.execute("UPDATE tournament SET required_documents = '{PASTOR_LETTER}'")
    return letter


async def review(client, who, letter: str, **changes):
    wanted = {"documentId": letter, "expectedVersion": 1, "review": "ACCEPTED"} | changes
    return await execute(client, REVIEW, {"input": wanted}, **who)


async def test_team_with_accepted_documents_is_ready(client, sql, reviewer):
    letter = await with_letter(client, sql)

    rejected = data(await review(client, reviewer, letter, review="REJECTED", note="Unreadable."))
    accepted = data(await review(client, reviewer, letter, expectedVersion=2))
    confirmed = await decide(client, reviewer, TeamAction.CONFIRM, version=3)

    assert rejected["reviewDocument"]["team"] == {
        "version": 2,
        "documents": [{"review": "REJECTED", "reviewNote": "Unreadable."}],
        "readiness": {"isReady": False, "nextOperation": "requestChanges"},
    }
    assert accepted["reviewDocument"]["team"] == {
        "version": 3,
        "documents": [{"review": "ACCEPTED", "reviewNote": None}],
        "readiness": {"isReady": True, "nextOperation": "confirmTeam"},
    }
    assert data(confirmed)["confirmTeam"]["team"]["status"] == "CONFIRMED"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"expectedVersion": 7}, "STALE_VERSION"),
        ({"review": "PENDING"}, "BAD_USER_INPUT"),
        ({"review": "SUPERSEDED"}, "BAD_USER_INPUT"),
        ({"review": "REJECTED"}, "VALIDATION_FAILED"),
        ({"documentId": "x"}, "NOT_FOUND"),
        ({"documentId": "0" * 32}, "NOT_FOUND"),
    ],
)
async def test_invalid_review_is_refused(client, sql, reviewer, changes, code):
    letter = await with_letter(client, sql)
    before = await everything(sql)

    answer = await review(client, reviewer, letter, **changes)

    assert error_extensions(answer)["code"] == code
    assert await everything(sql) == before


async def test_change_request_rejects_the_named_document(client, sql, reviewer):
    letter = await with_letter(client, sql)
    items = [{"note": "Sign it.", "documentId": letter}]

    data(await decide(client, reviewer, TeamAction.REQUEST_CHANGES, items=items))

    row = await sql.fetchrow("SELECT review, review_note FROM document")
    assert tuple(row) == ("REJECTED", "Sign it.")


async def test_change_request_with_a_foreign_document_changes_nothing(client, sql, reviewer):
    await with_letter(client, sql)
    await sql.execute("UPDATE tournament SET required_documents = '{}'")
    await register(client, 1)
    other = await sql.fetchval("SELECT id FROM document")
    before = await everything(sql)

    answer = await decide(
        client,
        reviewer,
        TeamAction.REQUEST_CHANGES,
        "ICCT-002",
        items=[{"note": "Sign it.", "documentId": other.hex}],
    )

    assert error_extensions(answer)["code"] == "NOT_FOUND"
    assert await everything(sql) == before


async def test_rejected_team_reopens_only_with_a_free_place(client, sql, reviewer):
    await register(client)
    data(await decide(client, reviewer, TeamAction.REJECT))
    await sql.execute("UPDATE tournament SET capacity = 0")
    before = await everything(sql)

    full = await decide(client, reviewer, TeamAction.REOPEN, version=2)
    unchanged = await everything(sql) == before
    await sql.execute("UPDATE tournament SET capacity = 1")
    data(await decide(client, reviewer, TeamAction.REOPEN, version=2))

    assert error_extensions(full)["code"] == "TOURNAMENT_FULL"
    assert unchanged
    assert await sql.fetchval("SELECT taken FROM tournament") == 1


async def test_rejected_team_cannot_reopen_after_a_new_registration(client, sql, reviewer):
    await register(client)
    data(await decide(client, reviewer, TeamAction.REJECT))
    await register(client, teamName="Another")

    found = error_extensions(await decide(client, reviewer, TeamAction.REOPEN, version=2))

    assert found["code"] == "VALIDATION_FAILED"
    assert await sql.fetchval("SELECT taken FROM tournament") == 1


async def test_decision_and_registrations_of_a_church_do_not_deadlock(client, sql, reviewer):
    await sql.execute("UPDATE tournament SET capacity = NULL, teams_per_church = NULL")
    codes = [await register(client, number, churchName="CSI Church") for number in range(8)]

    answers = await asyncio.gather(
        *(decide(client, reviewer, TeamAction.REJECT, code) for code in codes),
        *(
            execute(
                client,
                factories.REGISTER,
                {"input": factories.team(n, churchName="CSI Church", teamName="T")},
            )
            for n in range(8, 12)
        ),
    )

    assert all("errors" not in answer.json() for answer in answers[:8])
    live = await sql.fetchval("SELECT count(*) FROM team WHERE status = 'PENDING'")
    taken = await sql.fetchval("SELECT taken FROM tournament")
    assert (live, await sql.fetchval("SELECT taken FROM church")) == (taken, taken)


async def test_viewers_see_contacts_masked_and_no_documents(client, services, sql, reviewer):
    letter = await with_letter(client, sql)
    viewer = await bearer_headers(services, Role.VIEWER)

    masked = data(await execute(client, TEAM, {"code": "icct-001"}, **viewer))["team"]
    shown = data(await execute(client, TEAM, {"code": "ICCT-001"}, **reviewer))["team"]

    assert masked["captain"] == {
        "name": "Captain A",
        "phone": "+91••••••0000",
        "whatsapp": "+91••••••0000",
        "email": "p•••@example.org",
    }
    assert (masked["documents"], masked["players"][0]["documents"]) == ([], [])
    assert shown["captain"]["phone"] == "+919000000000"
    assert [document["id"] for document in shown["documents"]] == [letter]
    link = shown["documents"][0]["link"]["url"]
    assert (await client.get(link)).status_code == 200


async def test_team_query_needs_an_organiser(client):
    await register(client)

    answer = await execute(client, TEAM, {"code": "ICCT-001"})

    assert error_extensions(answer)["code"] == "UNAUTHENTICATED"
