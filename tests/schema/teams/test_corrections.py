"""Corrections by organisers: stored values, refusals, audit records."""

import asyncio
import json

import pytest

from domain.teams.status import TeamStatus
from tests import factories
from tests.graphql_client import data, error_extensions, execute
from tests.schema.teams.test_decisions import everything, put_in, register
from tests.schema.test_documents import FULL_SET
from tests.uploading import upload, with_documents

FIELDS = """
  team {
    code name version church { name teamsRegistered }
    captain { name phone whatsapp email } viceCaptain { name }
    players { code name role jerseyNumber dateOfBirth }
  }
"""
MINE = "{ myTeam { code } }"
REASON = "The captain called."


@pytest.fixture
def correct(client, reviewer):
    async def send(name: str, version: int = 1, /, fields: str = FIELDS, **wanted):
        kind = f"{name[0].upper()}{name[1:]}Input"
        query = f"mutation C($input: {kind}!) {{ {name}(input: $input) {{ {fields} }} }}"
        given = {"expectedVersion": version, "reason": REASON, **wanted}
        return await execute(client, query, {"input": given}, **reviewer)

    return send


def team_of(answer) -> dict:
    (payload,) = data(answer).values()
    return payload["team"]


async def rows(sql) -> list:
    return [*await everything(sql), await sql.fetch("SELECT * FROM player ORDER BY id")]


async def recorded(sql) -> tuple[dict, list]:
    """Return the audit event and the erasable record of the last correction."""
    changes = await sql.fetchval("SELECT changes FROM audit_event ORDER BY id DESC LIMIT 1")
    decision = await sql.fetchrow("SELECT reason, items FROM decision ORDER BY id DESC LIMIT 1")
    assert decision["reason"] == REASON
    return json.loads(changes), json.loads(decision["items"])


async def test_names_and_contacts_are_corrected(client, sql, correct):
    await register(client, 1)
    captain = factories.person(
        70, name="R. Anand", phone="098765 43210", email="R.Anand@Example.org"
    )

    team = team_of(
        await correct(
            "updateTeam", teamId="ICCT-001", teamName=" St. Peter’s  XI ", captain=captain
        )
    )

    assert (team["name"], team["version"]) == ("St. Peter’s XI", 2)
    assert team["captain"] == {
        "name": "R. Anand",
        "phone": "+919876543210",
        "whatsapp": "+919876543210",
        "email": "r.anand@example.org",
    }
    changes, items = await recorded(sql)
    fields = ["teamName", *(f"captain.{item}" for item in ("name", "phone", "whatsapp", "email"))]
    assert changes == {"fields": fields, "version": [1, 2]}
    assert items[1] == {
        "field": "captain.name",
        "old": factories.person(2)["name"],
        "new": "R. Anand",
    }
    assert await sql.fetchval("SELECT normalized_name FROM team") == "st peters xi"


async def test_omitted_fields_of_a_correction_stay_unchanged(client, sql, correct):
    await register(client, 1)

    team = team_of(await correct("updateTeam", teamId="ICCT-001", viceCaptain=factories.person(71)))

    assert team["name"] == "Warriors 1"
    assert team["captain"]["phone"] == factories.person(2)["phone"]
    assert team["viceCaptain"]["name"] == factories.person(71)["name"]


async def test_correction_without_a_difference_changes_nothing(client, sql, correct):
    await register(client, 1)
    before = await rows(sql)

    team = team_of(await correct("updateTeam", teamId="ICCT-001", teamName="Warriors  1"))

    assert team["version"] == 1
    assert await rows(sql) == before


async def test_moved_team_takes_a_place_of_its_new_church(client, sql, correct):
    await register(client, 1, churchName="Bethel")
    await register(client, 2, churchName="Zion")

    team = team_of(await correct("updateTeam", teamId="ICCT-001", churchName="ZION"))

    assert team["church"] == {"name": "Zion", "teamsRegistered": 2}
    taken = dict(await sql.fetch("SELECT name, taken FROM church"))
    assert taken == {"Bethel": 0, "Zion": 2}
    assert await sql.fetchval("SELECT taken FROM tournament") == 2
    await register(client, 3, churchName="Bethel")
    again = await correct("updateTeam", teamId="ICCT-003", churchName="zion")
    assert error_extensions(again)["code"] == "CHURCH_LIMIT_REACHED"
    assert dict(await sql.fetch("SELECT name, taken FROM church")) == {"Bethel": 1, "Zion": 2}


async def test_another_spelling_makes_no_new_church(client, sql, correct):
    await register(client, 1, churchName="C.S.I. St. Peter's")
    await register(client, 2, churchName="CSI St Peters")

    same = team_of(await correct("updateTeam", teamId="ICCT-001", churchName="csi st peters"))
    other = team_of(await correct("updateTeam", 2, teamId="ICCT-001", churchName="Bethel"))

    assert (same["version"], same["church"]) == (2, {"name": "csi st peters", "teamsRegistered": 2})
    assert other["church"] == {"name": "Bethel", "teamsRegistered": 1}


@pytest.mark.parametrize(
    "spelling",
    [
        "CSI ST. PETER'S",
        "C.S.I. St. Peter’s",
        "csi st peters",
        "Csi  St. Peters",
        "CSI St. Peter`s",
    ],
)
async def test_spelling_of_a_church_is_corrected_for_all_its_teams(client, sql, correct, spelling):
    await register(client, 1, churchName="CSI St Peter's")
    await register(client, 2, churchName="CSI St Peter's")

    if "`" in spelling:
        spelling = spelling.replace("`", "’")
    team = team_of(await correct("updateTeam", teamId="ICCT-001", churchName=spelling))

    name = " ".join(spelling.split())
    assert (team["version"], team["church"]) == (2, {"name": name, "teamsRegistered": 2})
    rows = await sql.fetch("SELECT name, normalized_name, taken FROM church")
    assert [tuple(row) for row in rows] == [(name, "csi st peters", 2)]
    changes, items = await recorded(sql)
    assert changes == {"fields": ["churchName"], "version": [1, 2]}
    assert items == [{"field": "churchName", "old": "CSI St Peter's", "new": name}]


async def test_alias_of_a_church_does_not_rename_it(client, sql, correct):
    await register(client, 1, churchName="CSI Zion")
    await sql.execute(
        "INSERT INTO church_alias (tournament_id, normalized_name, church_id)"
        " SELECT tournament_id, 'zion hall', id FROM church"
    )

    team = team_of(await correct("updateTeam", teamId="ICCT-001", churchName="Zion Hall"))

    assert (team["version"], team["church"]["name"]) == (1, "CSI Zion")


@pytest.mark.parametrize(
    ("squad", "limits", "steps"),
    [
        (11, (13, 15), ["addPlayer", "addPlayer"]),
        (15, (11, 13), ["removePlayer", "removePlayer"]),
        (11, (14, 14), ["addPlayer", "addPlayer", "addPlayer"]),
        (15, (11, 11), ["removePlayer"] * 4),
        (12, (12, 12), []),
    ],
)
async def test_squad_can_approach_changed_limits_one_player_at_a_time(
    client, sql, correct, squad, limits, steps
):
    await register(client, 1, players=factories.players(squad))
    await sql.execute("UPDATE tournament SET squad_min = $1, squad_max = $2", *limits)

    for version, step in enumerate(steps, start=1):
        wanted = (
            {"teamId": "ICCT-001", "player": {"name": f"New Man {'I' * version}"}}
            if step == "addPlayer"
            else {"playerId": f"ICCT-001-P{version:02}"}
        )
        team_of(await correct(step, version, **wanted))

    version = len(steps) + 1
    size = await sql.fetchval("SELECT count(*) FROM player")
    assert limits[0] <= size <= limits[1]
    away = (
        {"teamId": "ICCT-001", "player": {"name": "One Too Many"}}
        if size == limits[1]
        else {"playerId": "ICCT-001-P11"}
    )
    refusal = await correct("addPlayer" if size == limits[1] else "removePlayer", version, **away)
    assert error_extensions(refusal)["issues"][0]["code"] in {"SQUAD_TOO_LARGE", "SQUAD_TOO_SMALL"}
    assert await sql.fetchval("SELECT count(*) FROM player") == size


async def test_all_issues_of_a_correction_are_reported_at_once(client, sql, correct):
    await register(client, 1)
    before = await rows(sql)
    captain = factories.person(70, name="1", phone="123")

    answer = await correct("updateTeam", teamId="ICCT-001", teamName="---", captain=captain)

    issues = [(issue["pointer"], issue["code"]) for issue in error_extensions(answer)["issues"]]
    assert issues == [
        ("/input/teamName", "NAME_CHARACTERS"),
        ("/input/captain/name", "NAME_CHARACTERS"),
        ("/input/captain/phone", "PHONE_INVALID"),
    ]
    assert await rows(sql) == before


@pytest.mark.parametrize("reason", ["", None, " \n", "x" * 501, "Aadhaar 2341 2341 2346"])
async def test_invalid_reason_is_reported_with_the_other_issues(client, sql, correct, reason):
    await register(client, 1, players=factories.players(14))
    before = await rows(sql)
    wrong = {"name": "1", "phone": "12"}
    code = {"x": "NAME_TOO_LONG", "A": "IDENTITY_NUMBER_NOT_ALLOWED"}.get(
        (reason or " ")[0], "TEXT_REQUIRED"
    )

    answers = [
        await correct("updateTeam", reason=reason, teamId="ICCT-001", teamName="", captain=wrong),
        await correct("updatePlayer", reason=reason, playerId="ICCT-001-P02", name="2", role="x"),
        await correct("addPlayer", reason=reason, teamId="ICCT-001", player={"jerseyNumber": -1}),
    ]

    found = [
        [(issue["pointer"], issue["code"]) for issue in error_extensions(answer)["issues"]]
        for answer in answers
    ]
    assert found == [
        [
            ("/input/reason", code),
            ("/input/teamName", "NAME_TOO_SHORT"),
            ("/input/captain/name", "NAME_CHARACTERS"),
            ("/input/captain/phone", "PHONE_INVALID"),
            ("/input/captain/email", "EMAIL_INVALID"),
        ],
        [
            ("/input/reason", code),
            ("/input/name", "NAME_CHARACTERS"),
            ("/input/role", "ROLE_UNKNOWN"),
        ],
        [
            ("/input/reason", code),
            ("/input/player/name", "NAME_TOO_SHORT"),
            ("/input/player/jerseyNumber", "JERSEY_INVALID"),
        ],
    ]
    assert await rows(sql) == before


@pytest.mark.parametrize(
    ("changes", "pointer", "code"),
    [
        (
            {"teamName": "warriors 2", "churchName": "CSI Church 2"},
            "/input/teamName",
            "DUPLICATE_TEAM_NAME",
        ),
        (
            {"captain": factories.person(60, email=factories.person(4)["email"])},
            "/input/captain/email",
            "DUPLICATE_CAPTAIN_EMAIL",
        ),
        (
            {"captain": factories.person(60, phone=factories.person(4)["phone"])},
            "/input/captain/phone",
            "DUPLICATE_CAPTAIN_PHONE",
        ),
        (
            {
                "captain": factories.person(
                    60, name=factories.person(3)["name"], email=factories.person(3)["email"]
                )
            },
            "/input/viceCaptain/name",
            "SAME_PERSON_TWICE",
        ),
    ],
    ids=["name", "email", "phone", "person"],
)
async def test_values_taken_by_another_team_are_refused(
    client, sql, correct, changes, pointer, code
):
    for number in (1, 2):
        await register(client, number)
    before = await rows(sql)

    answer = await correct("updateTeam", teamId="ICCT-001", **changes)

    (issue,) = error_extensions(answer)["issues"]
    assert (issue["pointer"], issue["code"]) == (pointer, code)
    assert await rows(sql) == before


async def test_player_is_corrected_by_id_or_code(client, sql, correct):
    await register(client, 1)
    player = (await sql.fetchval("SELECT id FROM player WHERE position = 2")).hex

    data(
        await correct(
            "updatePlayer",
            playerId=player,
            name="Anbu Mani",
            role="BOWLER",
            jerseyNumber=7,
            dateOfBirth="2001-02-03",
        )
    )
    team = team_of(await correct("updatePlayer", 2, playerId="icct-001-p02", role=None))

    assert team["players"][1] == {
        "code": "ICCT-001-P02",
        "name": "Anbu Mani",
        "role": None,
        "jerseyNumber": 7,
        "dateOfBirth": "2001-02-03",
    }
    changes, items = await recorded(sql)
    assert changes == {"fields": ["ICCT-001-P02.role"], "version": [2, 3]}
    assert items == [{"field": "ICCT-001-P02.role", "old": "BOWLER", "new": None}]


@pytest.mark.parametrize(
    ("changes", "pointer", "code"),
    [
        ({"name": "1"}, "/input/name", "NAME_CHARACTERS"),
        ({"role": "UMPIRE"}, "/input/role", "ROLE_UNKNOWN"),
        ({"jerseyNumber": 1000}, "/input/jerseyNumber", "JERSEY_INVALID"),
        ({"jerseyNumber": 9}, "/input/jerseyNumber", "JERSEY_TAKEN"),
        ({"dateOfBirth": "2031-01-01"}, "/input/dateOfBirth", "DATE_INVALID"),
        ({"name": factories.players()[4]["name"]}, "/input/name", "DUPLICATE_PLAYER"),
    ],
)
async def test_issue_of_a_player_correction_has_its_path(
    client, sql, correct, changes, pointer, code
):
    players = factories.players()
    players[4]["jerseyNumber"] = 9
    await register(client, 1, players=players)
    before = await rows(sql)

    answer = await correct("updatePlayer", playerId="ICCT-001-P02", **changes)

    (issue,) = error_extensions(answer)["issues"]
    assert (issue["pointer"], issue["code"]) == (pointer, code)
    assert await rows(sql) == before


async def test_player_codes_are_never_reused(client, sql, correct):
    await register(client, 1, players=factories.players(13))

    data(await correct("removePlayer", playerId="ICCT-001-P13"))
    team = team_of(await correct("addPlayer", 2, teamId="ICCT-001", player={"name": "New Man"}))

    codes = [player["code"] for player in team["players"]]
    assert codes[-2:] == ["ICCT-001-P12", "ICCT-001-P14"]
    assert team["players"][-1]["name"] == "New Man"
    changes, items = await recorded(sql)
    assert changes == {"fields": ["ICCT-001-P14"], "version": [2, 3]}
    assert items == [{"field": "ICCT-001-P14", "old": None, "new": "New Man"}]


async def test_documents_of_an_added_player_are_refused_at_their_path(client, sql, correct):
    await register(client, 1, players=factories.players(12))
    photo = await upload(client, "PHOTO")
    before = await rows(sql)
    player = {"name": "New Man", "documents": [{"kind": "PHOTO", "documentId": photo}]}

    answer = await correct("addPlayer", teamId="ICCT-001", player=player | {"jerseyNumber": -1})

    found = [(issue["pointer"], issue["code"]) for issue in error_extensions(answer)["issues"]]
    assert found == [
        ("/input/player/jerseyNumber", "JERSEY_INVALID"),
        ("/input/player/documents", "LIST_TOO_LONG"),
    ]
    assert await rows(sql) == before
    data(await correct("addPlayer", teamId="ICCT-001", player={"name": "New Man", "documents": []}))


async def test_squad_size_limits_hold_for_corrections(client, sql, correct):
    await register(client, 1, players=factories.players(11))
    await register(client, 2, players=factories.players(15))
    before = await rows(sql)

    too_small = await correct("removePlayer", playerId="ICCT-001-P01")
    too_large = await correct("addPlayer", teamId="ICCT-002", player={"name": "New Man"})
    twice = {"name": factories.players()[3]["name"]}
    same = await correct("addPlayer", teamId="ICCT-001", player=twice)

    found = [error_extensions(item)["issues"][0] for item in (too_small, too_large, same)]
    assert [(issue["pointer"], issue["code"]) for issue in found] == [
        ("/input/playerId", "SQUAD_TOO_SMALL"),
        ("/input/player", "SQUAD_TOO_LARGE"),
        ("/input/player/name", "DUPLICATE_PLAYER"),
    ]
    assert await rows(sql) == before


async def test_squad_of_a_formerly_allowed_size_can_be_corrected(client, sql, correct):
    await register(client, 1, players=factories.players(15))
    await sql.execute("UPDATE tournament SET squad_max = 13")

    team = team_of(await correct("updatePlayer", playerId="ICCT-001-P15", name="New Name"))

    assert team["players"][14]["name"] == "New Name"


async def test_files_of_a_player_who_leaves_are_deleted(client, services, sql, correct):
    await sql.execute("UPDATE tournament SET required_documents = $1", FULL_SET)
    await register(client, 1, **(await with_documents(client, factories.team(1))))
    of_player = (
        "SELECT storage_name FROM document WHERE player_id ="
        " (SELECT id FROM player WHERE position = 15)"
    )
    names = {row["storage_name"] for row in await sql.fetch(of_player)}

    data(await correct("removePlayer", playerId="ICCT-001-P15"))

    assert len(names) == 2
    assert await sql.fetch(of_player) == []
    outbox = await sql.fetch("SELECT payload FROM outbox_message WHERE kind = 'media.delete'")
    assert {json.loads(row["payload"])["storage_name"] for row in outbox} == names


@pytest.mark.parametrize("status", [TeamStatus.REJECTED, TeamStatus.WITHDRAWN])
@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("updateTeam", {"teamId": "ICCT-001", "teamName": "Others"}),
        ("updatePlayer", {"playerId": "ICCT-001-P01", "name": "Other"}),
        ("addPlayer", {"teamId": "ICCT-001", "player": {"name": "New Man"}}),
        ("removePlayer", {"playerId": "ICCT-001-P01"}),
    ],
    ids=["team", "player", "add", "remove"],
)
async def test_inactive_team_cannot_be_corrected(client, sql, correct, status, name, wanted):
    await register(client, 1)
    await put_in(sql, status)
    before = await rows(sql)

    answer = await correct(name, **wanted)

    assert error_extensions(answer)["code"] == "INVALID_STATUS_TRANSITION"
    assert error_extensions(answer)["details"] == {"from": status, "attempted": name, "allowed": []}
    assert await rows(sql) == before


@pytest.mark.parametrize(
    ("name", "wanted", "code"),
    [
        ("updateTeam", {"teamId": "ICCT-009", "teamName": "Others"}, "TEAM_NOT_FOUND"),
        ("updatePlayer", {"playerId": "ICCT-001-P99", "name": "Other"}, "NOT_FOUND"),
        ("updatePlayer", {"playerId": "ICCT-009-P01", "name": "Other"}, "TEAM_NOT_FOUND"),
        ("removePlayer", {"playerId": "nonsense"}, "NOT_FOUND"),
        ("removePlayer", {"playerId": "ICCT-001-P01", "reason": " "}, "VALIDATION_FAILED"),
        ("updateTeam", {"teamId": "ICCT-001", "expectedVersion": 2}, "STALE_VERSION"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_refused_corrections_change_nothing(client, sql, correct, name, wanted, code):
    await register(client, 1)
    before = await rows(sql)
    version = wanted.pop("expectedVersion", 1)

    answer = await correct(name, version, **wanted)
    wanted["expectedVersion"] = version

    assert error_extensions(answer)["code"] == code
    assert await rows(sql) == before


async def test_second_of_two_concurrent_corrections_is_stale(client, sql, correct):
    await register(client, 1)

    answers = await asyncio.gather(
        *(correct("updateTeam", teamId="ICCT-001", teamName=f"Team {n}") for n in range(4))
    )

    stale = [answer for answer in answers if "errors" in answer.json()]
    assert [error_extensions(answer)["code"] for answer in stale] == ["STALE_VERSION"] * 3
    assert await sql.fetchval("SELECT version FROM team") == 2


async def test_reissued_token_replaces_the_old_one(client, sql, correct):
    registered = data(
        await execute(
            client, factories.REGISTER, {"input": factories.team(1)}, Idempotency_Key="a" * 8
        )
    )["registerTeam"]
    old = registered["manageToken"]

    answer = await correct(
        "reissueManageToken", fields="manageToken team { version }", teamId="ICCT-001"
    )

    payload = data(answer)["reissueManageToken"]
    assert payload["team"]["version"] == 2
    seen = await execute(client, MINE, Authorization=f"Bearer {payload['manageToken']}")
    assert data(seen)["myTeam"]["code"] == "ICCT-001"
    lost = await execute(client, MINE, Authorization=f"Bearer {old}")
    assert error_extensions(lost)["code"] == "UNAUTHENTICATED"
    changes, items = await recorded(sql)
    assert changes == {"generation": [1, 2], "version": [1, 2]}
    assert items == []
    replay = await execute(
        client, factories.REGISTER, {"input": factories.team(1)}, Idempotency_Key="a" * 8
    )
    assert data(replay)["registerTeam"]["manageToken"] == old
