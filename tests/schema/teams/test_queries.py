"""Pages of teams: filters, orders, directions and numbers of statements."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.auth.roles import Role
from tests import factories
from tests.accounts import bearer_headers
from tests.graphql_client import data, error_extensions, execute
from tests.schema.teams.test_decisions import register
from tests.schema.test_documents import FULL_SET
from tests.statement_recorder import record_statements
from tests.uploading import with_documents

TEAMS = """
query Teams($filter: TeamFilter, $orderBy: TeamOrder, $first: Int, $after: String,
            $last: Int, $before: String) {
  teams(filter: $filter, orderBy: $orderBy, first: $first, after: $after, last: $last,
        before: $before) {
    nodes { code }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}
"""
WHOLE = """
query Whole($first: Int) {
  teams(first: $first) {
    nodes {
      code captain { name phone } viceCaptain { name }
      players { name code team { code captain { phone } } }
    }
  }
}
"""
EVERYTHING = """
query Everything($first: Int) {
  teams(first: $first) {
    totalCount
    nodes {
      code players { documents { id } } documents { id }
      readiness { isReady playersElsewhere { playerCode } } history { action }
    }
  }
}
"""


@pytest.fixture
async def viewer(services) -> dict[str, str]:
    return await bearer_headers(services, Role.VIEWER)


@pytest.fixture
async def room(sql) -> None:
    await sql.execute("UPDATE tournament SET capacity = NULL")


async def found(client, who, **variables) -> list[str]:
    return [node["code"] for node in (await page(client, who, **variables))["nodes"]]


async def page(client, who, **variables) -> dict:
    return data(await execute(client, TEAMS, variables, **who))["teams"]


async def three(client) -> None:
    await register(client, 1, teamName="Lions", churchName="St. Peter's")
    await register(client, 2, teamName="Eagles", churchName="Bethel")
    await register(client, 3, teamName="Ántelopes", churchName="Bethel")


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (None, "1 2 3"),
        ({"field": "CODE"}, "1 2 3"),
        ({"field": "CODE", "direction": "DESC"}, "3 2 1"),
        ({"field": "REGISTERED", "direction": "DESC"}, "3 2 1"),
        ({"field": "NAME"}, "2 1 3"),
        ({"field": "CHURCH"}, "2 3 1"),
        ({"field": "CHURCH", "direction": "DESC"}, "1 3 2"),
    ],
    ids=lambda value: str(value).replace(" ", ""),
)
async def test_teams_have_the_requested_order(client, viewer, order, expected):
    await three(client)

    codes = await found(client, viewer, orderBy=order)

    assert codes == [f"ICCT-00{number}" for number in expected.split()]


async def test_codes_are_sorted_by_their_numbers(client, viewer, sql):
    await three(client)
    await sql.execute("UPDATE team SET code = 'ICCT-1000' WHERE code = 'ICCT-001'")

    assert await found(client, viewer) == ["ICCT-002", "ICCT-003", "ICCT-1000"]


@pytest.mark.parametrize("field", ["CODE", "REGISTERED", "NAME", "CHURCH"])
@pytest.mark.parametrize("direction", ["ASC", "DESC"])
async def test_every_order_can_be_paged_in_both_directions(client, viewer, room, field, direction):
    for number in range(7):
        await register(client, number, churchName=f"Church {number % 4}")
    order = {"field": field, "direction": direction}
    whole = await found(client, viewer, orderBy=order)

    forward, after = [], None
    while True:
        part = await page(client, viewer, orderBy=order, first=3, after=after)
        forward.append([node["code"] for node in part["nodes"]])
        after = part["pageInfo"]["endCursor"]
        assert part["pageInfo"]["hasPreviousPage"] == (len(forward) > 1)
        if not part["pageInfo"]["hasNextPage"]:
            break
    backward, before = [], None
    while True:
        part = await page(client, viewer, orderBy=order, last=3, before=before)
        backward.append([node["code"] for node in part["nodes"]])
        before = part["pageInfo"]["startCursor"]
        assert part["pageInfo"]["hasNextPage"] == (len(backward) > 1)
        if not part["pageInfo"]["hasPreviousPage"]:
            break

    assert len(set(whole)) == 7
    assert forward == [whole[:3], whole[3:6], whole[6:]]
    assert backward == [whole[4:], whole[1:4], whole[:1]]


async def test_paging_neither_repeats_nor_skips_teams_during_registrations(client, viewer, room):
    for number in range(4):
        await register(client, number, teamName=f"Team {number}0")
    order = {"field": "NAME"}
    first = await page(client, viewer, orderBy=order, first=2)

    await register(client, 8, teamName="Team 05")
    await register(client, 9, teamName="Team 15")
    rest = await found(client, viewer, orderBy=order, after=first["pageInfo"]["endCursor"])

    assert [node["code"] for node in first["nodes"]] == ["ICCT-001", "ICCT-002"]
    assert rest == ["ICCT-006", "ICCT-003", "ICCT-004"]


async def test_page_between_two_cursors(client, viewer, room):
    for number in range(5):
        await register(client, number)
    one = await page(client, viewer, first=1)
    last = await page(client, viewer, last=1)
    bounds = {"after": one["pageInfo"]["endCursor"], "before": last["pageInfo"]["startCursor"]}

    assert await found(client, viewer, **bounds) == ["ICCT-002", "ICCT-003", "ICCT-004"]
    assert await found(client, viewer, last=2, **bounds) == ["ICCT-003", "ICCT-004"]


@pytest.mark.parametrize(
    "text",
    [
        "ICCT-002",
        "icct-002",
        "-002",
        "eagl",
        "EAGLES",
        "st. JOHN's",
        "St Johns",
        "r anand",
        "R. ANAND",
        "ஆனந்த்",
        "ppriya",
        "Suresh",
        "\u202aICCT-002\u202c\n",
        "\ufeffeag\u200bles\t",
        "R`. Anand",
        "thomas, k. v",
        "Thomas K V",
        "Rajan S/o  Mani",
        "rajan s o mani",
        "(Race Course)",
        "mary‑ann",
    ],
)
async def test_text_search_ignores_spelling_variants(client, viewer, text):
    await register(client, 1)
    names = ("ஆனந்த் ராஜ்", "Thomas, K. V.", "Mary–Ann Paul")
    squad = [*factories.players(12), *({"name": name} for name in names)]
    await register(
        client,
        2,
        teamName="Eagles",
        churchName="C.S.I. St. John’s, (Race Course)",
        captain=factories.person(90, name="R. Anand (Rajan S/o Mani)"),
        viceCaptain=factories.person(91, name="Suresh P.Priya"),
        players=squad,
    )

    assert await found(client, viewer, filter={"text": text}) == ["ICCT-002"]


async def test_church_is_found_by_its_former_names(client, viewer, sql):
    await three(client)
    await sql.execute(
        "INSERT INTO church_alias SELECT tournament_id, 'zion', id FROM church"
        " WHERE normalized_name = 'bethel'"
    )

    assert await found(client, viewer, filter={"text": "Zion"}) == ["ICCT-002", "ICCT-003"]


@pytest.mark.parametrize(
    "text",
    ["98765 43210", "+91-98765-43210", "098765 43210", "9876543210", "(0)98765 43", "5432",
     "leader@church.example", "LEADER@", "\u202a+91 98765 43210\u202c", "091-98765 43210",
     "\u206698765\u00a043210\u2069\n", "\ufeff98765\t43210", "\u200eleader@church.example\u200f\t",
     "lea\u00adder@church"],
)  # fmt: skip
async def test_only_reviewers_find_contacts(client, viewer, reviewer, text):
    await register(client, 1)
    contact = {"phone": "+919876543210", "email": "leader@church.example"}
    await register(client, 2, captain=factories.person(90, **contact))

    assert await found(client, reviewer, filter={"text": text}) == ["ICCT-002"]
    assert await found(client, viewer, filter={"text": text}) == []


@pytest.mark.parametrize("text", ["%", "_", "\\", "98%", "no such", "543"])
async def test_search_without_matches_is_empty(client, reviewer, text):
    await register(client, 1, captain=factories.person(90, phone="+919876543210"))

    assert await found(client, reviewer, filter={"text": text}) == []


@pytest.mark.parametrize("text", ["", "   "])
async def test_empty_search_text_filters_nothing(client, viewer, text):
    await register(client, 1)

    assert await found(client, viewer, filter={"text": text}) == ["ICCT-001"]


async def test_all_filters_must_hold(client, viewer, sql):
    await three(client)
    await sql.execute("UPDATE team SET status = 'CONFIRMED' WHERE code <> 'ICCT-001'")
    bethel = (await sql.fetchval("SELECT id FROM church WHERE name = 'Bethel'")).hex

    async def codes(**filter):
        return [code[-1] for code in await found(client, viewer, filter=filter)]

    assert await codes(status=["CONFIRMED"]) == ["2", "3"]
    assert await codes(status=["PENDING", "REJECTED"]) == ["1"]
    assert await codes(churchId=bethel) == ["2", "3"]
    assert await codes(churchId=bethel, text="eagles") == ["2"]
    assert await codes(churchId=bethel, status=["PENDING"]) == []


async def test_registration_range_is_half_open(client, viewer, sql):
    await three(client)
    day = datetime(2026, 11, 20, tzinfo=UTC)
    for number in (1, 2, 3):
        await sql.execute(
            "UPDATE team SET registered_at = $1 WHERE code = $2",
            day + timedelta(days=number),
            f"ICCT-00{number}",
        )
    bounds = {
        "registeredFrom": (day + timedelta(days=2)).isoformat(),
        "registeredUntil": (day + timedelta(days=3)).isoformat(),
    }

    assert await found(client, viewer, filter=bounds) == ["ICCT-002"]


async def test_filter_by_missing_or_rejected_documents(client, viewer, sql):
    await sql.execute("UPDATE tournament SET required_documents = $1", FULL_SET)
    for number in (1, 2, 3):
        await register(client, number, **(await with_documents(client, factories.team(number))))
    of = "(SELECT id FROM team WHERE code = $1)"
    await sql.execute(
        "UPDATE document SET deleted_at = now() WHERE id = (SELECT id FROM document WHERE"
        f" team_id = {of} AND player_id IS NOT NULL ORDER BY id LIMIT 1)",
        "ICCT-002",
    )
    await sql.execute(
        f"UPDATE document SET review = 'REJECTED' WHERE team_id = {of} AND kind = 'PASTOR_LETTER'",
        "ICCT-003",
    )

    async def codes(**filter):
        return [code[-1] for code in await found(client, viewer, filter=filter)]

    assert await codes(hasMissingDocuments=True) == ["2"]
    assert await codes(hasMissingDocuments=False) == ["1", "3"]
    assert await codes(hasRejectedDocuments=True) == ["3"]
    assert await codes(hasRejectedDocuments=False) == ["1", "2"]
    await sql.execute("UPDATE tournament SET required_documents = '{}'")
    assert await codes(hasMissingDocuments=True) == []


async def test_only_the_open_season_is_listed(client, viewer, sql):
    await register(client, 1)
    await sql.execute("UPDATE tournament SET is_active = false")
    await sql.execute(
        "INSERT INTO tournament (id, is_active, name, code_prefix, time_zone, squad_min, squad_max,"
        " required_documents, created_at) VALUES (gen_random_uuid(), true, 'Next', 'ICCT27',"
        " 'Asia/Kolkata', 11, 15, '{}', now())"
    )
    await register(client, 2)

    assert await found(client, viewer) == ["ICCT27-001"]


@pytest.mark.parametrize("first", [1, 8])
async def test_statements_do_not_grow_with_the_page(client, viewer, reviewer, room, first):
    for number in range(8):
        await register(client, number)

    async def count(query, who=viewer):
        await execute(client, query, {"first": first}, **who)
        with record_statements() as seen:
            data(await execute(client, query, {"first": first}, **who))
        return [item for item in seen if "organiser_session" not in item]

    assert len(await count(TEAMS.replace("nodes { code }", ""))) == 1
    assert len(await count(WHOLE)) == 2
    with_all = await count(EVERYTHING, reviewer)
    # The page, players, documents, history, players elsewhere, the count.
    assert len(with_all) == 6
    assert sum("count(*) AS count_1" in entry for entry in with_all) == 1


async def test_total_count_follows_the_filter(client, viewer):
    await three(client)
    query = "query($f: TeamFilter) { teams(filter: $f, first: 1) { totalCount nodes { code } } }"

    everything = data(await execute(client, query, {}, **viewer))["teams"]
    some = data(await execute(client, query, {"f": {"text": "bethel"}}, **viewer))["teams"]

    assert (everything["totalCount"], some["totalCount"]) == (3, 2)


async def test_selections_in_fragments_are_found(client, viewer):
    await register(client, 1)
    query = """
    query Q($no: Boolean!) {
      teams { ...Page edges { node { ... on Team { documents @skip(if: $no) { id } } } } }
    }
    fragment Page on TeamConnection { nodes { ...Squad } }
    fragment Squad on Team { players { name } }
    """

    found = data(await execute(client, query, {"no": True}, **viewer))["teams"]

    assert len(found["nodes"][0]["players"]) == 15
    assert found["edges"] == [{"node": {}}]


async def test_viewers_see_masked_contacts_in_lists_and_through_players(client, viewer, reviewer):
    await register(client, 1, captain=factories.person(90, phone="+919876543210"))

    masked = data(await execute(client, WHOLE, {}, **viewer))["teams"]["nodes"][0]
    whole = data(await execute(client, WHOLE, {}, **reviewer))["teams"]["nodes"][0]

    assert whole["captain"]["phone"] == "+919876543210"
    assert whole["players"][0]["team"]["captain"]["phone"] == "+919876543210"
    assert masked["captain"]["phone"] == masked["players"][0]["team"]["captain"]["phone"]
    assert "98765" not in masked["captain"]["phone"]


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"first": 0}, "first must be between 1 and 100."),
        ({"first": 101}, "first must be between 1 and 100."),
        ({"last": 0}, "last must be between 1 and 100."),
        ({"first": 1, "last": 1}, "Please give either first or last, not both."),
        (
            {"after": "nonsense"},
            "after is not a cursor of this list. Please start from the first page.",
        ),
        (
            {"before": "WyJ0ZWFtLmNvZGUiXQ=="},
            "before is not a cursor of this list. Please start from the first page.",
        ),
        ({"filter": {"text": "x" * 201}}, "text has at most 200 characters."),
        (
            {"filter": {"text": "a\0b"}},
            "text has characters that cannot be stored. Please type it again.",
        ),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_invalid_page_arguments_are_refused(client, viewer, variables, message):
    answer = await execute(client, TEAMS, variables, **viewer)

    assert error_extensions(answer)["code"] == "BAD_USER_INPUT"
    assert answer.json()["errors"][0]["message"] == message


async def test_cursor_of_another_order_is_refused(client, viewer):
    await register(client, 1)
    by_name = await page(client, viewer, orderBy={"field": "NAME"})

    answer = await execute(client, TEAMS, {"after": by_name["pageInfo"]["endCursor"]}, **viewer)

    assert error_extensions(answer)["code"] == "BAD_USER_INPUT"


async def test_invalid_church_id_is_not_found(client, viewer):
    answer = await execute(client, TEAMS, {"filter": {"churchId": "nonsense"}}, **viewer)

    assert error_extensions(answer)["code"] == "NOT_FOUND"
