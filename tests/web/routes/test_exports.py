"""Teams as a file: what is in it, who gets it, what is on record, what is left behind."""

import asyncio
import csv
import io
import json
from datetime import UTC, datetime, timedelta

import asyncpg
import httpx
import openpyxl
import pytest
from sqlalchemy import make_url

from domain.auth.roles import SYSTEM, Role
from domain.errors.exceptions import NotFound
from domain.spreadsheets import ExportFormat
from domain.teams.status import TeamAction
from persistence.repositories.team_search import TeamFilter
from resolvers.exports import export as exports
from tests import factories
from tests.accounts import bearer_headers
from tests.databases import dsn
from tests.graphql_client import app_client, check_envelope, data, execute
from tests.schema.teams.test_decisions import decide, register
from tests.statement_recorder import record_statements

EXPORT = """
mutation Export($input: ExportTeamsInput!) { exportTeams(input: $input) { url expiresAt } }
"""
TAMIL = "ஆனந்த் ராஜ்"
CONTACTS = [
    f"{who} {what}"
    for who in ("Captain", "Vice-captain")
    for what in ("phone", "WhatsApp", "e-mail")
]


@pytest.fixture
async def reviewer(services) -> dict[str, str]:
    return await bearer_headers(services, Role.REVIEWER)


async def link(client, who, kind: str = "CSV", **filter) -> str:
    wanted = {"format": kind, "filter": filter or None}
    answer = await execute(client, EXPORT, {"input": wanted}, **who)
    return data(answer)["exportTeams"]["url"]


async def rows(client, who, **filter) -> list[dict]:
    """The rows of a CSV file by their headers."""
    answer = await client.get(await link(client, who, **filter))
    assert answer.status_code == 200
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))


async def two_teams(client) -> None:
    players = factories.players(11)
    players[0] |= {"name": TAMIL, "role": "BOWLER", "jerseyNumber": 7, "dateOfBirth": "2001-02-03"}
    await register(client, 1, players=players)
    await register(client, 2, teamName="O’Brien - & Co.", players=factories.players(11))


async def test_a_csv_file_has_a_row_for_each_player(client, reviewer, sql):
    await two_teams(client)
    await sql.execute("UPDATE team SET registered_at = '2026-11-20T18:30:00Z'")

    answer = await client.get(await link(client, reviewer))

    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="teams-20')
    assert answer.headers["Content-Disposition"].endswith('.csv"')
    assert "no-store" in answer.headers["Cache-Control"]
    lines = answer.content.decode().split("\r\n")
    assert lines[0] == (
        "\ufeffTeam code,Team,Church,Status,Registered (Asia/Kolkata),Captain,Captain phone,"
        "Captain WhatsApp,Captain e-mail,Vice-captain,Vice-captain phone,Vice-captain WhatsApp,"
        "Vice-captain e-mail,Players,Next step,Player code,Player,Role,Jersey,Date of birth"
    )
    captain, vice = factories.person(2), factories.person(3)
    assert lines[1] == (
        f"ICCT-001,Warriors 1,CSI Church 1,PENDING,2026-11-21 00:00:00,{captain['name']},"
        f"'{captain['phone']},'{captain['phone']},{captain['email']},{vice['name']},"
        f"'{vice['phone']},'{vice['phone']},{vice['email']},11,confirmTeam,"
        f"ICCT-001-P01,{TAMIL},BOWLER,7,2001-02-03"
    )
    assert lines[2].endswith(f",ICCT-001-P02,{factories.players(11)[1]['name']},,,")
    assert len(lines) == 1 + 22 + 1
    assert lines[12].startswith("ICCT-002,O’Brien - & Co.,")


async def test_an_xlsx_file_opens_with_every_text_as_it_was(client, reviewer, sql):
    await two_teams(client)
    await sql.execute("UPDATE player SET name = '=1+1' WHERE position = 2")
    await sql.execute("UPDATE player SET name = 'https://example.org' WHERE position = 3")
    await sql.execute("UPDATE player SET name = '007' WHERE position = 4")

    answer = await client.get(await link(client, reviewer, "XLSX"))

    assert answer.headers["Content-Type"].endswith("spreadsheetml.sheet")
    assert answer.headers["Content-Disposition"].endswith('.xlsx"')
    book = openpyxl.load_workbook(io.BytesIO(answer.content))
    assert book.sheetnames == ["Teams", "Players"]
    teams = list(book["Teams"].values)
    assert [row[:2] for row in teams] == [
        ("Team code", "Team"),
        ("ICCT-001", "Warriors 1"),
        ("ICCT-002", "O’Brien - & Co."),
    ]
    assert teams[1][6] == factories.person(2)["phone"]
    players = list(book["Players"].values)
    assert players[1] == ("ICCT-001-P01", TAMIL, "BOWLER", 7, "2001-02-03")
    assert [row[1] for row in players[2:5]] == ["=1+1", "https://example.org", "007"]
    assert {cell.data_type for row in book["Players"].rows for cell in row} <= {"s", "n"}
    assert {cell.hyperlink for row in book["Players"].rows for cell in row} == {None}
    assert len(players) == 23


@pytest.mark.parametrize(
    "name",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1+1", "＠x", "\n=1"],
    ids=ascii,
)
async def test_what_a_spreadsheet_could_run_begins_with_an_apostrophe(client, reviewer, sql, name):
    await register(client, 1)
    await sql.execute("UPDATE player SET name = $1 WHERE position = 1", name)

    (row, *_) = await rows(client, reviewer)

    assert row["Player"] == f"'{name}"


async def test_quotes_commas_and_lines_stay_in_their_cell(client, reviewer, sql):
    await register(client, 1)
    name = 'a "b", c\r\nd'
    await sql.execute("UPDATE player SET name = $1 WHERE position = 1", name)

    (row, *_) = await rows(client, reviewer)

    assert row["Player"] == name


async def test_a_team_without_players_has_one_row(client, reviewer, sql):
    await register(client, 1)
    await register(client, 2, players=factories.players(11))
    await sql.execute("DELETE FROM player WHERE team_id = (SELECT min(id::text)::uuid FROM team)")
    (empty,) = await sql.fetch(
        "SELECT code FROM team t WHERE NOT EXISTS (SELECT FROM player WHERE team_id = t.id)"
    )

    found = [row for row in await rows(client, reviewer) if row["Team code"] == empty["code"]]

    (row,) = found
    assert (row["Players"], row["Player code"], row["Player"], row["Date of birth"]) == (
        "0",
        "",
        "",
        "",
    )


@pytest.mark.parametrize("kind", ["CSV", "XLSX"])
async def test_viewers_get_no_contacts_and_no_dates_of_birth(client, services, kind):
    players = factories.players(11)
    players[0] |= {"dateOfBirth": "2001-02-03"}
    await register(client, 1, players=players)
    viewer = await bearer_headers(services, Role.VIEWER)

    answer = await client.get(await link(client, viewer, kind))

    content = answer.content.decode("utf-8-sig") if kind == "CSV" else ""
    if kind == "XLSX":
        book = openpyxl.load_workbook(io.BytesIO(answer.content))
        content = json.dumps([list(sheet.values) for sheet in book])
    assert factories.person(2)["name"] in content
    contacts = (
        factories.person(2)["phone"],
        factories.person(3)["phone"],
        "@example.org",
        *CONTACTS,
    )
    for secret in (*contacts, "2001-02-03", "Date of birth"):
        assert secret not in content


async def test_the_filter_is_kept_by_the_link(client, reviewer):
    await two_teams(client)
    await register(client, 3)
    data(await decide(client, reviewer, TeamAction.CONFIRM, "ICCT-002"))

    async def codes(**filter):
        return {row["Team code"][-1] for row in await rows(client, reviewer, **filter)}

    assert await codes() == {"1", "2", "3"}
    assert await codes(status=["CONFIRMED"]) == {"2"}
    assert await codes(text=TAMIL) == {"1"}
    assert await codes(text=factories.person(6)["phone"]) == {"3"}
    assert await codes(registeredFrom="2099-01-01T00:00:00Z") == set()
    assert await codes(hasMissingDocuments=False, hasRejectedDocuments=False) == {"1", "2", "3"}


async def test_a_viewer_does_not_find_teams_by_their_contacts(client, services):
    await register(client, 1)
    viewer = await bearer_headers(services, Role.VIEWER)

    assert await rows(client, viewer, text=factories.person(2)["phone"]) == []


async def exported(sql) -> list:
    return await sql.fetch(
        "SELECT actor, changes, team_id FROM audit_event WHERE action = 'teams.exported'"
    )


async def test_every_download_is_on_record_and_no_link_is(client, reviewer, sql):
    await two_teams(client)
    url = await link(client, reviewer, status=["PENDING"], text=TAMIL)
    assert await exported(sql) == []

    answer = await client.get(url)
    await client.get(url)

    (one, other) = await exported(sql)
    organiser = await sql.fetchval("SELECT id FROM organiser")
    assert one["actor"] == f"organiser:{organiser.hex}"
    assert json.loads(one["changes"]) == {
        "format": "CSV",
        "filter": ["statuses", "text"],
        "role": "REVIEWER",
    }
    assert one["team_id"] is None
    assert other["changes"] == one["changes"]
    assert answer.headers["X-Request-ID"] == await sql.fetchval(
        "SELECT request_id FROM audit_event WHERE action = 'teams.exported' ORDER BY id LIMIT 1"
    )


async def gone(client, url: str) -> None:
    answer = await client.get(url)
    check_envelope(answer.json())
    assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (
        404,
        "NOT_FOUND",
    )


async def test_a_changed_or_foreign_link_leads_nowhere(client, reviewer, sql):
    await register(client, 1)
    url = await link(client, reviewer)

    # Not the last one: of its six bits, four are the signature's.
    await gone(client, url[:-2] + ("A" if url[-2] != "A" else "B") + url[-1])
    await gone(client, "/exports/nonsense")
    await gone(client, url.replace("/exports/", "/files/"))
    assert await exported(sql) == []


async def test_a_link_ends(client, services, clock, sql):
    """The application does not go by the clock of the test."""
    await register(client, 1)
    clock.now = datetime.now(UTC) - timedelta(minutes=11)

    url, _ = exports.create_link(services, SYSTEM, ExportFormat.CSV, TeamFilter())

    await gone(client, url)
    assert await exported(sql) == []


async def test_the_role_of_now_counts(client, reviewer, sql):
    await register(client, 1)
    url = await link(client, reviewer)

    await sql.execute("UPDATE organiser SET role = 'VIEWER'")
    lowered = (await client.get(url)).text
    await sql.execute("DELETE FROM organiser")

    assert "Captain phone" not in lowered
    assert "Team code" in lowered
    await gone(client, url)
    (one,) = await exported(sql)
    assert json.loads(one["changes"])["role"] == "VIEWER"


async def test_a_token_for_viewers_gets_no_more_than_viewers_do(client, services):
    await register(client, 1)
    owner = await bearer_headers(services, Role.OWNER)
    query = "mutation C($input: CreateApiTokenInput!) { createApiToken(input: $input) { token } }"
    made = await execute(client, query, {"input": {"name": "x", "role": "VIEWER"}}, **owner)
    script = {"Authorization": f"Bearer {data(made)['createApiToken']['token']}"}

    content = (await client.get(await link(client, script))).text

    assert "Team code" in content
    assert "Captain phone" not in content
    assert factories.person(2)["phone"] not in content


async def test_batches_repeat_and_skip_nothing_with_few_statements(
    client, services, reviewer, sql, monkeypatch
):
    monkeypatch.setattr(exports, "BATCH_SIZE", 2)
    await sql.execute("UPDATE tournament SET capacity = NULL")
    for number in range(5):
        await register(client, number, players=factories.players(11))
    url = await link(client, reviewer)

    with record_statements() as seen:
        answer = await client.get(url)

    found = csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig")))
    codes = [row["Team code"] for row in found]
    assert codes == [f"ICCT-00{number}" for number in range(1, 6) for _ in range(11)]
    assert len([one for one in seen if "FROM team JOIN" in one]) == 3
    assert len([one for one in seen if "FROM player" in one]) == 3


@pytest.mark.parametrize(
    ("time_zone", "registered", "header", "name"),
    [
        ("Asia/Kolkata", "2026-12-01 00:45:00", "Asia/Kolkata", "teams-2026-12-01.csv"),
        ("UTC", "2026-11-30 19:15:00", "UTC", "teams-2026-11-30.csv"),
        ("Asia/Kathmandu", "2026-12-01 01:00:00", "Asia/Kathmandu", "teams-2026-12-01.csv"),
        ("America/Anchorage", "2026-11-30 10:15:00", "America/Anchorage", "teams-2026-11-30.csv"),
        ("Pacific/Kiritimati", "2026-12-01 09:15:00", "Pacific/Kiritimati", "teams-2026-12-01.csv"),
        ("No/Such_Zone", "2026-11-30 19:15:00", "UTC", "teams-2026-11-30.csv"),
    ],
)
async def test_times_and_file_name_are_in_the_zone_of_the_tournament(
    client, services, clock, sql, time_zone, registered, header, name
):
    await register(client, 1)
    moment = datetime(2026, 11, 30, 19, 15, tzinfo=UTC)
    await sql.execute("UPDATE team SET registered_at = $1", moment)
    await sql.execute("UPDATE tournament SET time_zone = $1", time_zone)
    clock.now = moment
    url, _ = exports.create_link(services, SYSTEM, ExportFormat.CSV, TeamFilter())

    export = await exports.open_export(services, url.rpartition("/")[2])
    content = b"".join([part async for part in exports.csv_rows(services, export)])

    (row, *_) = csv.DictReader(io.StringIO(content.decode("utf-8-sig")))
    assert row[f"Registered ({header})"] == registered
    assert export.name == name


@pytest.mark.parametrize(
    "demotion",
    [
        "UPDATE organiser SET role = 'VIEWER'",
        "DELETE FROM organiser",
    ],
)
async def test_file_of_a_demoted_organiser_is_cut_off(client, reviewer, sql, monkeypatch, demotion):
    monkeypatch.setattr(exports, "BATCH_SIZE", 1)
    for number in range(4):
        await register(client, number)
    url = await link(client, reviewer)

    sent = await parts(client, url, lambda: sql.execute(demotion))

    assert sent[0]["status"] == 200
    assert all(message["more_body"] for message in sent[1:])
    content = b"".join(message["body"] for message in sent[1:])
    assert b"ICCT-001" in content
    assert not any(code in content for code in (b"ICCT-003", b"ICCT-004"))


@pytest.mark.parametrize(
    ("role", "change", "codes"),
    [
        (Role.REVIEWER, "UPDATE organiser SET role = 'OWNER'", 3),
        (Role.OWNER, "UPDATE organiser SET role = 'REVIEWER'", 1),
        (Role.VIEWER, "UPDATE organiser SET role = 'OWNER'", 3),
        (Role.VIEWER, "DELETE FROM organiser", 1),
        (Role.REVIEWER, "UPDATE organiser SET role = 'VIEWER'", 1),
    ],
)
async def test_role_is_read_for_each_batch(client, services, sql, monkeypatch, role, change, codes):
    monkeypatch.setattr(exports, "BATCH_SIZE", 1)
    for number in range(3):
        await register(client, number)
    url = await link(client, await bearer_headers(services, role))
    export = await exports.open_export(services, url.rpartition("/")[2])

    rows = exports.team_batches(services, export)
    read = [await anext(rows)]
    await sql.execute(change)
    try:
        read += [batch async for batch in rows]
    except NotFound:
        assert codes == 1

    assert len(read) == codes


async def test_workbook_of_a_demoted_organiser_is_refused(
    client, services, reviewer, sql, monkeypatch, tmp_path
):
    await register(client, 1)
    url = await link(client, reviewer, "XLSX")
    export = await exports.open_export(services, url.rpartition("/")[2])
    await sql.execute("UPDATE organiser SET role = 'VIEWER'")

    with pytest.raises(NotFound):
        await exports.write_workbook(services, export, tmp_path)


@pytest.mark.parametrize("kind", ["CSV", "XLSX"])
async def test_an_empty_season_is_an_empty_file(client, reviewer, kind):
    answer = await client.get(await link(client, reviewer, kind))

    assert answer.status_code == 200
    if kind == "CSV":
        assert answer.text.count("\r\n") == 1


async def test_nothing_is_left_on_disk(client, services, reviewer, settings):
    await two_teams(client)

    await client.get(await link(client, reviewer, "XLSX"))

    spool = settings.upload_dir or settings.data_dir / "uploads"
    assert list(spool.glob("*")) == []


@pytest.fixture
async def cut_off(database_url):
    """Takes the database away from everybody."""
    outside = await asyncpg.connect(dsn(database_url), database="postgres")
    name = make_url(database_url).database

    async def cut() -> None:
        await outside.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await outside.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name
        )

    yield cut
    await outside.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    await outside.close()


async def parts(client, url: str, after_first) -> list[dict]:
    """The messages of the application for a client that takes them one by one."""
    sent: list[dict] = []
    asked = httpx.Request("GET", f"http://localhost{url}")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": url,
        "raw_path": url.encode(),
        "query_string": b"",
        "headers": [(key.lower(), value) for key, value in asked.headers.raw],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
    }

    body = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> dict:
        return next(body, None) or await asyncio.Event().wait()

    async def send(message: dict) -> None:
        sent.append(message)
        if len(sent) == 2:
            await after_first()

    await client._transport.app(scope, receive, send)
    return sent


async def test_a_client_that_takes_its_time_holds_no_connection(
    settings_with, database, database_url, services
):
    settings = settings_with(database_pool_size=1, database_max_overflow=0)
    answers = []
    async with app_client(settings, database_url) as client:
        await register(client, 1)
        url = await link(client, await bearer_headers(services, Role.REVIEWER))

        async def ask_meanwhile() -> None:
            answers.append(await execute(client, "{ tournament { name } }"))

        sent = await parts(client, url, ask_meanwhile)

    (answer,) = answers
    data(answer)
    assert not sent[-1]["more_body"]


async def test_a_file_that_cannot_be_finished_has_no_end(client, reviewer, cut_off, monkeypatch):
    monkeypatch.setattr(exports, "BATCH_SIZE", 1)
    for number in range(4):
        await register(client, number)
    url = await link(client, reviewer)

    sent = await parts(client, url, cut_off)

    assert sent[0]["status"] == 200
    assert b"Team code" in sent[1]["body"]
    assert all(message["more_body"] for message in sent[1:])
    assert b"ICCT-004" not in b"".join(message["body"] for message in sent[1:])


@pytest.mark.parametrize("kind", ["CSV", "XLSX"])
async def test_a_file_that_cannot_be_begun_is_an_error(
    client, reviewer, sql, cut_off, settings, kind
):
    await register(client, 1)
    url = await link(client, reviewer, kind)
    await cut_off()

    answer = await client.get(url)

    assert answer.status_code == 503
    check_envelope(answer.json())
    spool = settings.data_dir / "uploads"
    assert list(spool.glob("*")) == []


async def test_a_workbook_that_breaks_off_leaves_nothing(
    client, reviewer, sql, settings, monkeypatch
):
    monkeypatch.setattr(exports, "BATCH_SIZE", 1)
    for number in range(3):
        await register(client, number)
    url = await link(client, reviewer, "XLSX")
    await sql.execute("ALTER TABLE player RENAME TO players_gone")

    answer = await client.get(url)
    await sql.execute("ALTER TABLE players_gone RENAME TO player")

    assert answer.status_code == 500
    assert list((settings.data_dir / "uploads").glob("*")) == []
