"""Registration of teams over GraphQL."""

from datetime import UTC
from uuid import UUID

import pytest

from domain.datetimes import format_utc
from domain.documents import FILE_RULES
from domain.registration.forms import PlayerRole
from domain.teams.status import TeamAction
from domain.tournaments import TEXT_RULES, TournamentRules
from resolvers.security.secrets import Secrets, manage_token
from tests import factories
from tests.conftest import SECRET
from tests.graphql_client import data, error_extensions, execute
from tests.schema.teams.test_decisions import decide
from tests.statement_recorder import record_statements

RULES = """{ registrationRules {
  squadMin squadMax teamsPerChurch roles requiredDocuments consentVersion
  text { field minLength maxLength pattern description }
  files { kind formats minBytes maxBytes description }
} }"""
CHURCHES = """query ($search: String, $first: Int, $after: String) {
  churches(search: $search, first: $first, after: $after) {
    nodes { name } edges { cursor node { name } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}"""
COUNTED = "{ churches(first: 1) { totalCount nodes { name } } }"
UNCOUNTED = "{ churches(first: 1) { nodes { name } } }"
AADHAAR = "2345 6789 0124"


async def register(client, number=0, **changes):
    return await execute(client, factories.REGISTER, {"input": factories.team(number, **changes)})


async def issues_of(client, **changes) -> list[tuple[str, str]]:
    """Return pointers and codes of the issues, after comparing them with the dry run."""
    variables = {"input": factories.team(**changes)}
    issues = error_extensions(await execute(client, factories.REGISTER, variables))["issues"]
    report = data(await execute(client, factories.VALIDATE, variables))["validateTeam"]
    assert report == {"isValid": False, "blockers": [], "issues": issues}
    return [(issue["pointer"], issue["code"]) for issue in issues]


def resolve(pointer: str, document: object) -> object:
    """Return the value that a JSON Pointer refers to. Raises if there is none."""
    for step in pointer.removeprefix("/").split("/"):
        document = document[int(step)] if isinstance(document, list) else document[step]
    return document


CAPTAIN = {
    "name": "Captain A",
    "phone": "+919876543210",
    "whatsapp": "+919876543210",
    "email": "captain@example.org",
}
VICE_CAPTAIN = {
    "name": "Captain B",
    "phone": "+919000000001",
    "whatsapp": "+442079460018",
    "email": "person1@example.org",
}


async def stored_team(sql, names: list[str], details: list[tuple]) -> dict:
    """Return the expected team; `details` are those of the first players."""
    team = await sql.fetchrow("SELECT * FROM team")
    church = await sql.fetchval("SELECT id FROM church")
    ids = [row["id"] for row in await sql.fetch("SELECT id FROM player ORDER BY position")]
    moment = format_utc(team["registered_at"].astimezone(UTC))
    details = details + [(None, None, None)] * (len(names) - len(details))
    return {
        "id": team["id"].hex,
        "code": "ICCT-001",
        "name": "St. Peter's Warriors & Co",
        "status": "PENDING",
        "version": 1,
        "registeredAt": moment,
        "updatedAt": moment,
        "church": {
            "id": church.hex,
            "name": "CSI Christ Church",
            "teamsRegistered": 1,
            "limit": 2,
            "remaining": 1,
            "isFull": False,
        },
        "captain": CAPTAIN,
        "viceCaptain": VICE_CAPTAIN,
        "players": [
            {
                "id": key.hex,
                "code": f"ICCT-001-P{position:02}",
                "position": position,
                "name": name,
                "role": role,
                "jerseyNumber": jersey,
                "dateOfBirth": born,
            }
            for position, (key, name, (role, jersey, born)) in enumerate(
                zip(ids, names, details, strict=True), start=1
            )
        ],
    }


async def test_registration_returns_the_complete_team(client, sql):
    squad = factories.players(11)
    names = [player["name"] for player in squad[:10]] + ["R. Anand"]
    squad[0] |= {"role": "BATSMAN", "jerseyNumber": 0, "dateOfBirth": "2008-02-29"}
    squad[1] |= {"role": "BOWLER", "jerseyNumber": 999}
    squad[2] |= {"role": "ALL_ROUNDER"}
    squad[3] |= {"role": "WICKET_KEEPER"}
    squad[10] |= {"name": "  R.   Anand "}

    answer = await register(
        client,
        teamName=" St. Peter's  Warriors & Co ",
        churchName="CSI Christ Church",
        captain=factories.person(0, phone="09876543210", email="Captain@Example.ORG"),
        viceCaptain=factories.person(1, whatsapp="+44 20 7946 0018"),
        players=squad,
        locale="ta-IN",
    )

    details = [
        ("BATSMAN", 0, "2008-02-29"),
        ("BOWLER", 999, None),
        ("ALL_ROUNDER", None, None),
        ("WICKET_KEEPER", None, None),
    ]
    team_id = await sql.fetchval("SELECT id FROM team")
    assert data(answer)["registerTeam"] == {
        "replayed": False,
        "manageToken": manage_token(Secrets(current=SECRET), team_id),
        "team": await stored_team(sql, names, details),
    }


async def test_repeated_registration_returns_the_same_result(client):
    variables = {"input": factories.team(idempotencyKey="a key of the test")}

    first, again = [data(await execute(client, factories.REGISTER, variables)) for _ in range(2)]

    assert (first["registerTeam"].pop("replayed"), again["registerTeam"].pop("replayed")) == (
        False,
        True,
    )
    assert first == again


async def test_all_issues_are_reported_in_form_order(client, sql):
    team = factories.team(
        teamName="X",
        captain=factories.person(phone="0000000000"),
        viceCaptain=factories.person(1, email="nobody"),
    )
    team["players"][2]["role"] = "KEEPER"
    team["players"][3]["name"] = "---"
    team["players"][9]["jerseyNumber"] = 1000
    team["players"][14]["dateOfBirth"] = "2023-02-29"
    variables = {"input": team}

    answer = await execute(client, factories.REGISTER, variables)

    issues = error_extensions(answer)["issues"]
    assert answer.json()["errors"][0]["message"] == "7 details need attention."
    assert [(issue["pointer"], issue["code"], issue["params"]) for issue in issues] == [
        ("/input/teamName", "NAME_TOO_SHORT", {"min": 3}),
        ("/input/captain/phone", "PHONE_INVALID", {}),
        ("/input/viceCaptain/email", "EMAIL_INVALID", {}),
        ("/input/players/2/role", "ROLE_UNKNOWN", {}),
        ("/input/players/3/name", "NAME_CHARACTERS", {}),
        ("/input/players/9/jerseyNumber", "JERSEY_INVALID", {}),
        ("/input/players/14/dateOfBirth", "DATE_INVALID", {}),
    ]
    assert [resolve(issue["pointer"], variables) for issue in issues] == [
        "X", "0000000000", "nobody", "KEEPER", "---", 1000, "2023-02-29",
    ]  # fmt: skip
    for issue in issues:
        assert issue["pointer"] == "".join(f"/{step}" for step in issue["path"])
    assert await sql.fetchval("SELECT count(*) FROM team") == 0


@pytest.mark.parametrize(
    "name",
    ["R. Anand", "J. P. Kumar", "O'Neil Paul", "D’Souza", "Anne-Marie", "ஆனந்த் ராஜ்", "க. சுரேஷ்",
     "അരുൺ", "Ana María", "李 明"],
)  # fmt: skip
async def test_valid_person_names_are_accepted(client, name):
    squad = factories.players()
    squad[5]["name"] = name

    team = data(await register(client, captain=factories.person(name=name), players=squad))

    assert team["registerTeam"]["team"]["captain"]["name"] == name
    assert team["registerTeam"]["team"]["players"][5]["name"] == name


@pytest.mark.parametrize(
    "name", ["St. Peter's", "St. Peter’s & St. Paul’s", "ஆனந்த் 2", "C.S.I. 1st"]
)
async def test_valid_church_and_team_names_are_accepted(client, name):
    team = data(await register(client, teamName=name, churchName=name))["registerTeam"]["team"]

    assert (team["name"], team["church"]["name"]) == (name, name)


@pytest.mark.parametrize(
    "phone",
    ["+91 98765-43210", "9876543210", "09876543210", "+91 (98765) 43210", "98765 43210",
     "0091 98765 43210", "+91\u00a098765\u00a043210"],
)  # fmt: skip
async def test_phones_are_accepted_in_any_notation(client, phone):
    team = data(await register(client, captain=factories.person(phone=phone)))["registerTeam"][
        "team"
    ]

    assert team["captain"]["phone"] == "+919876543210"


@pytest.mark.parametrize(
    ("count", "code"), [(0, "SMALL"), (10, "SMALL"), (16, "LARGE"), (200, "LARGE")]
)
async def test_squad_outside_the_size_limits_is_refused(client, count, code):
    answer = await register(client, players=factories.players(count))

    (issue,) = error_extensions(answer)["issues"]
    assert (issue["path"], issue["code"]) == (["input", "players"], f"SQUAD_TOO_{code}")
    assert issue["params"] == {"min": 11, "max": 15, "actual": count}


@pytest.mark.parametrize("count", [11, 15])
async def test_squad_within_the_size_limits_is_accepted(client, count):
    team = data(await register(client, players=factories.players(count)))["registerTeam"]["team"]

    assert len(team["players"]) == count


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"captain": factories.person(phone="0000000000")},
            ("/input/captain/phone", "PHONE_INVALID"),
        ),
        (
            {"captain": factories.person(phone=9876543210)},
            ("/input/captain/phone", "PHONE_INVALID"),
        ),
        ({"captain": factories.person(email="a@b")}, ("/input/captain/email", "EMAIL_INVALID")),
        ({"captain": factories.person(name="An\0and")}, ("/input/captain/name", "NAME_CHARACTERS")),
        ({"captain": factories.person(name="---")}, ("/input/captain/name", "NAME_CHARACTERS")),
        ({"captain": factories.person(name="A")}, ("/input/captain/name", "NAME_TOO_SHORT")),
        ({"captain": factories.person(name="An" * 26)}, ("/input/captain/name", "NAME_TOO_LONG")),
        (
            {"captain": factories.person(name=f"Anand {AADHAAR}")},
            ("/input/captain/name", "IDENTITY_NUMBER_NOT_ALLOWED"),
        ),
        ({"teamName": "Lions\nTigers"}, ("/input/teamName", "NAME_CHARACTERS")),
        ({"teamName": AADHAAR}, ("/input/teamName", "IDENTITY_NUMBER_NOT_ALLOWED")),
        (
            {"churchName": AADHAAR.replace(" ", "")},
            ("/input/churchName", "IDENTITY_NUMBER_NOT_ALLOWED"),
        ),
        (
            {"viceCaptain": factories.person(0, name="Benny")},
            ("/input/viceCaptain/phone", "SAME_PERSON_TWICE"),
        ),
        (
            {"documents": [{"kind": "PASTOR_LETTER", "documentId": "none"}]},
            ("/input/documents/0/documentId", "DOCUMENT_UNKNOWN"),
        ),
        (
            {"documents": [{"kind": "PHOTO", "documentId": "none"}]},
            ("/input/documents/0/kind", "DOCUMENT_WRONG_KIND"),
        ),
    ],
)
async def test_each_invalid_value_has_its_own_issue_code(client, changes, expected):
    assert await issues_of(client, **changes) == [expected]


async def test_dry_run_of_a_valid_form_has_no_issues(client, sql):
    report = data(await execute(client, factories.VALIDATE, {"input": factories.team()}))

    assert report == {"validateTeam": {"isValid": True, "blockers": [], "issues": []}}
    assert await sql.fetchval("SELECT count(*) FROM team") == 0


async def test_dry_run_reports_blockers(client, sql):
    data(await register(client, 0, churchName="CSI Zion"))
    await sql.execute("UPDATE tournament SET capacity = 1, teams_per_church = 1")

    variables = {"input": factories.team(1, churchName="CSI Zion")}
    report = data(await execute(client, factories.VALIDATE, variables))["validateTeam"]

    assert report == {
        "isValid": True,
        "blockers": ["CHURCH_LIMIT_REACHED", "TOURNAMENT_FULL"],
        "issues": [],
    }


async def test_registration_rules_equal_the_validators(client, sql):
    await sql.execute(
        "UPDATE tournament SET squad_min = 7, squad_max = 9, teams_per_church = NULL,"
        " required_documents = '{PASTOR_LETTER,PHOTO}', consent_version = '2026-1'"
    )

    rules = data(await execute(client, RULES))["registrationRules"]

    assert rules == {
        "squadMin": 7,
        "squadMax": 9,
        "teamsPerChurch": None,
        "roles": [role.value for role in PlayerRole],
        "requiredDocuments": ["PASTOR_LETTER", "PHOTO"],
        "consentVersion": "2026-1",
        "text": [
            {
                "field": rule.field,
                "minLength": rule.min_length,
                "maxLength": rule.max_length,
                "pattern": rule.pattern,
                "description": rule.description,
            }
            for rule in TEXT_RULES
        ],
        "files": [
            {
                "kind": rule.kind.value,
                "formats": [item.value for item in rule.formats],
                "minBytes": rule.min_bytes,
                "maxBytes": rule.max_bytes,
                "description": rule.description,
            }
            for rule in FILE_RULES
        ],
    }


async def test_new_tournament_has_the_default_rules(client):
    rules = data(await execute(client, RULES))["registrationRules"]

    usual = TournamentRules()
    assert (rules["squadMin"], rules["squadMax"]) == (usual.squad_min, usual.squad_max)
    assert rules["teamsPerChurch"] == usual.teams_per_church
    assert (rules["requiredDocuments"], rules["consentVersion"]) == ([], None)


async def test_squad_size_follows_the_rules_of_the_tournament(client, sql):
    await sql.execute("UPDATE tournament SET squad_min = 2, squad_max = 3, consent_version = '2'")

    found = await issues_of(client, players=factories.players(4), consentVersion="1")
    taken = data(await register(client, players=factories.players(2), consentVersion="2"))

    assert found == [
        ("/input/players", "SQUAD_TOO_LARGE"),
        ("/input/consentVersion", "CONSENT_REQUIRED"),
    ]
    assert taken["registerTeam"]["team"]["code"] == "ICCT-001"


async def test_tournament_shows_its_window_and_capacity(client, sql):
    await sql.execute(
        "UPDATE tournament SET capacity = 2, opens_at = '2026-01-02T03:04:05.678901+05:30',"
        " venue = 'Coimbatore', upi_id = 'x@y', upi_payee = 'CSI'"
    )
    data(await register(client))

    answer = data(
        await execute(
            client,
            "{ tournament { id name venue timeZone feeAmount feeCurrency upiId upiPayee"
            " registration { state opensAt closesAt capacity taken remaining } } }",
        )
    )

    assert UUID(answer["tournament"].pop("id")) == await sql.fetchval("SELECT id FROM tournament")
    assert answer["tournament"] == {
        "name": "ICCT26 Cricket Tournament",
        "venue": "Coimbatore",
        "timeZone": "Asia/Kolkata",
        "feeAmount": 2026,
        "feeCurrency": "INR",
        "upiId": "x@y",
        "upiPayee": "CSI",
        "registration": {
            "state": "OPEN",
            "opensAt": "2026-01-01T21:34:05.678901Z",
            "closesAt": None,
            "capacity": 2,
            "taken": 1,
            "remaining": 1,
        },
    }


@pytest.fixture
async def five_churches(client):
    for number, letter in enumerate("DBECA"):
        data(await register(client, number, churchName=f"CSI {letter} Church"))
    return [f"CSI {letter} Church" for letter in "ABCDE"]


async def test_churches_are_paged_by_name(client, five_churches):
    pages = []
    after = None
    for _ in range(3):
        page = data(await execute(client, CHURCHES, {"first": 2, "after": after}))["churches"]
        assert [edge["node"] for edge in page["edges"]] == page["nodes"]
        assert page["pageInfo"]["startCursor"] == page["edges"][0]["cursor"]
        assert page["pageInfo"]["endCursor"] == page["edges"][-1]["cursor"]
        after = page["pageInfo"]["endCursor"]
        pages.append(page)

    assert [[node["name"] for node in page["nodes"]] for page in pages] == [
        five_churches[:2],
        five_churches[2:4],
        five_churches[4:],
    ]
    assert [page["pageInfo"]["hasNextPage"] for page in pages] == [True, True, False]
    assert [page["pageInfo"]["hasPreviousPage"] for page in pages] == [False, True, True]


async def test_paging_neither_repeats_nor_skips_churches_during_registrations(
    client, five_churches
):
    seen: list[str] = []
    after = None
    for number, name in enumerate(["CSI AA Church", "CSI CC Church", "CSI EE Church"], start=10):
        page = data(await execute(client, CHURCHES, {"first": 2, "after": after}))["churches"]
        seen += [node["name"] for node in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
        data(await register(client, number, churchName=name))
    page = data(await execute(client, CHURCHES, {"after": after}))["churches"]
    seen += [node["name"] for node in page["nodes"]]

    assert len(seen) == len(set(seen))
    assert [name for name in seen if name in five_churches] == five_churches


async def test_an_empty_page_has_no_cursors(client, five_churches):
    page = data(await execute(client, CHURCHES, {"search": "nothing"}))["churches"]

    assert page == {
        "nodes": [],
        "edges": [],
        "pageInfo": {
            "hasNextPage": False,
            "hasPreviousPage": False,
            "startCursor": None,
            "endCursor": None,
        },
    }


@pytest.mark.parametrize("search", ["c.s.i. e", "CSI E", "e church", "  csi   e "])
async def test_church_search_ignores_spelling_variants(client, five_churches, search):
    query = "query ($s: String) { churches(search: $s) { totalCount nodes { name } } }"

    found = data(await execute(client, query, {"s": search}))["churches"]

    assert found == {"totalCount": 1, "nodes": [{"name": "CSI E Church"}]}


@pytest.mark.parametrize("event", [TeamAction.REJECT, TeamAction.WITHDRAW])
@pytest.mark.parametrize("printed", ["nodes { name }", "nodes { name } totalCount __typename"])
async def test_church_without_a_live_team_is_not_shown(
    client, five_churches, reviewer, sql, event, printed
):
    data(await decide(client, reviewer, event, "ICCT-001"))
    queries = [
        f"{{ churches{given} {{ {printed} }} }}"
        for given in ("", '(search: "csi")', '(search: "CSI D Church")', "(first: 4)")
    ]

    shown = [
        [node["name"] for node in data(await execute(client, query))["churches"]["nodes"]]
        for query in queries
    ]
    counted = data(await execute(client, '{ churches(search: "csi") { totalCount } }'))
    again = data(await register(client, 9, churchName="c.s.i. d church"))["registerTeam"]["team"]

    others = [name for name in five_churches if name != "CSI D Church"]
    assert shown == [others, others, [], others]
    assert counted == {"churches": {"totalCount": 4}}
    # The church is still known, and shown again with its new team.
    assert (again["church"]["name"], again["church"]["teamsRegistered"]) == ("CSI D Church", 1)
    assert await sql.fetchval("SELECT count(*) FROM church") == 5
    page = data(await execute(client, "{ churches { nodes { name } } }"))["churches"]["nodes"]
    assert [item["name"] for item in page] == five_churches


@pytest.mark.parametrize("search", ["%", "_", "\\", "100%"])
async def test_pattern_characters_match_literally(client, five_churches, search):
    page = data(await execute(client, CHURCHES, {"search": search}))["churches"]

    assert page["nodes"] == []


@pytest.mark.parametrize(
    "variables",
    [
        {"first": 0},
        {"first": -1},
        {"first": 101},
        {"after": ""},
        {"after": "x"},
        {"after": "é"},
        {"after": "\ud800"},
        {"after": "bnVsbA=="},
        {"after": "WyJhIiwgMV0="},
        {"after": "WyJhIiwgbnVsbF0="},
        {"after": "WyJhIl0="},
        {"after": "W251bGwsICIwMWEyMDc1NTBkOWE3MjA1OWEzOGExNzQyOTM2Njc4OCJd"},
        {"after": "WyJcdTAwMDAiLCAiMDFhMjA3NTUwZDlhNzIwNTlhMzhhMTc0MjkzNjY3ODgiXQ=="},
        {"search": "a\0"},
        {"search": "\udfff"},
    ],
)
async def test_invalid_page_sizes_are_refused(client, variables):
    answer = await execute(client, CHURCHES, variables)

    assert (answer.status_code, error_extensions(answer)["code"]) == (400, "BAD_USER_INPUT")


@pytest.mark.parametrize("first", [1, 100, None])
async def test_page_sizes_from_1_to_100_are_accepted(client, five_churches, first):
    page = data(await execute(client, CHURCHES, {"first": first}))["churches"]

    assert len(page["nodes"]) == min(first or 50, 5)


async def test_total_count_is_queried_only_if_selected(client, five_churches):
    with record_statements() as uncounted:
        data(await execute(client, UNCOUNTED))
    with record_statements() as counted:
        found = data(await execute(client, COUNTED))["churches"]

    assert found == {"totalCount": 5, "nodes": [{"name": five_churches[0]}]}
    assert (len(uncounted), len(counted)) == (1, 2)
    assert [text for text in uncounted if "count(" in text] == []
    assert len([text for text in counted if "count(" in text]) == 1
