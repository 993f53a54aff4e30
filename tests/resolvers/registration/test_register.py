"""Registration of teams: storage, limits, idempotency and races."""

import asyncio
from dataclasses import replace
from functools import partial

import pytest

from domain.errors.exceptions import (
    BadUserInput,
    ChurchLimitReached,
    IdempotencyInProgress,
    IdempotencyKeyReused,
    InvalidForm,
    RegistrationClosed,
    RegistrationNotOpen,
    TeamNotFound,
    TournamentFull,
)
from persistence.engine.database import Database
from persistence.engine.engine import DatabaseOptions
from resolvers.registration.register import register_team, resolve_idempotency_key, validate_team
from resolvers.security.secrets import Secrets
from tests import factories

ROWS = "team player audit_event outbox_message idempotency_record church".split()


@pytest.fixture
def register(services):
    return partial(register_team, services, key=None, request_id="request-of-the-test")


@pytest.fixture
async def impatient_services(services, database_url):
    """Services with a lock timeout of a tenth of a second."""
    database = Database(DatabaseOptions(url=database_url, lock_timeout_seconds=0.1))
    yield replace(services, database=database)
    await database.close()


async def row_counts(sql) -> dict[str, int]:
    return {table: await sql.fetchval(f"SELECT count(*) FROM {table}") for table in ROWS}


async def slot_counts(sql) -> tuple[int, int]:
    row = await sql.fetchrow("SELECT taken, next_team_number FROM tournament")
    return row["taken"], row["next_team_number"]


NOTHING = dict.fromkeys(ROWS, 0)


async def test_team_is_stored_with_all_its_rows(register, sql):
    registered = await register(factories.form(), key="a key of the test")

    assert registered.team.code == "ICCT-001"
    assert await row_counts(sql) == {
        "team": 1,
        "player": 15,
        "audit_event": 1,
        "outbox_message": 1,
        "idempotency_record": 1,
        "church": 1,
    }
    assert await slot_counts(sql) == (1, 2)
    audit = await sql.fetchrow("SELECT * FROM audit_event")
    assert audit["action"] == "team.registered"
    assert audit["actor"] == "captain"
    assert audit["team_id"] == registered.team.id
    assert audit["request_id"] == "request-of-the-test"
    outbox = await sql.fetchrow("SELECT * FROM outbox_message")
    assert (outbox["kind"], outbox["team_id"]) == ("mail.team_received", registered.team.id)


async def test_idempotency_entry_holds_no_personal_data(register, sql):
    await register(factories.form(), key="a key of the test")

    record = dict(await sql.fetchrow("SELECT * FROM idempotency_record"))
    assert sorted(record) == ["expires_at", "fingerprint", "key", "operation", "team_id"]
    assert len(record["fingerprint"]) == 32


async def test_team_numbers_continue_after_999(register, sql):
    await sql.execute("UPDATE tournament SET next_team_number = 999")

    codes = [(await register(factories.form(number))).team.code for number in range(2)]

    assert codes == ["ICCT-999", "ICCT-1000"]


async def test_other_spelling_of_a_church_is_the_same_church(register):
    first = await register(factories.form(0, churchName="C.S.I. St. Peter's"))
    second = await register(factories.form(1, churchName="CSI  St Peters"))

    assert second.team.church.id == first.team.church.id
    assert second.team.church.name == "C.S.I. St. Peter's"
    assert second.team.church.taken == 2


async def test_church_known_under_an_alias_is_found(register, sql):
    first = await register(factories.form(0, churchName="CSI St Peters"))
    await sql.execute(
        "INSERT INTO church_alias SELECT id, 'saint peters', $1 FROM tournament",
        first.team.church.id,
    )

    second = await register(factories.form(1, churchName="Saint Peter's"))

    assert second.team.church.id == first.team.church.id


async def test_third_team_of_a_church_is_refused(register, sql):
    for number in range(2):
        await register(factories.form(number, churchName="CSI Zion"))
    before = await row_counts(sql)

    with pytest.raises(ChurchLimitReached) as refused:
        await register(factories.form(2, churchName="CSI Zion"))

    assert refused.value.details == {"limit": 2, "registered": 2}
    assert await row_counts(sql) == before
    assert await slot_counts(sql) == (2, 3)


async def test_rejected_team_releases_contacts_and_name(register, sql):
    await register(factories.form())
    await sql.execute("UPDATE team SET status = 'REJECTED'")

    again = await register(factories.form())

    assert again.team.code == "ICCT-002"


async def test_full_tournament_refuses_without_using_a_number(register, sql):
    await sql.execute("UPDATE tournament SET capacity = 1")
    await register(factories.form(0))
    before = await row_counts(sql)

    with pytest.raises(TournamentFull) as refused:
        await register(factories.form(1), key="key of the refused")

    assert refused.value.details == {"capacity": 1}
    assert await row_counts(sql) == before
    assert await slot_counts(sql) == (1, 2)


async def test_refused_form_does_not_use_the_key(register):
    with pytest.raises(InvalidForm):
        await register(factories.form(teamName="!"), key="one key for both")

    assert not (await register(factories.form(), key="one key for both")).is_replay


async def test_registration_before_opening_is_refused(register, sql, clock):
    await sql.execute("UPDATE tournament SET opens_at = $1", clock.now)
    clock.advance(seconds=-1)

    with pytest.raises(RegistrationNotOpen):
        await register(factories.form())

    assert await row_counts(sql) == NOTHING


async def test_registration_after_closing_is_refused_except_replays(register, sql, clock):
    first = await register(factories.form(), key="a key of the test")
    await sql.execute("UPDATE tournament SET closes_at = $1", clock.now)

    with pytest.raises(RegistrationClosed):
        await register(factories.form(1))
    repeat = await register(factories.form(), key="a key of the test")

    assert (repeat.team.code, repeat.is_replay) == (first.team.code, True)


async def test_window_closing_between_read_and_write_is_enforced(register, sql, clock):
    """The tournament's row is locked while the window moves; the registration waits for it."""
    transaction = sql.transaction()
    await transaction.start()
    await sql.execute("UPDATE tournament SET closes_at = $1", clock.now)

    waiting = asyncio.create_task(register(factories.form()))
    await _wait_until_blocked(sql)
    await transaction.commit()

    with pytest.raises(RegistrationClosed):
        await waiting
    assert await row_counts(sql) == NOTHING


async def test_replay_returns_the_present_team_and_the_same_token(register, sql):
    first = await register(factories.form(), key="a key of the test")
    await sql.execute("UPDATE team SET status = 'CONFIRMED', version = 2, manage_generation = 2")

    repeat = await register(factories.form(), key="a key of the test")

    assert repeat.is_replay
    assert repeat.team.status == "CONFIRMED"
    assert repeat.manage_token == first.manage_token
    assert (await row_counts(sql))["team"] == 1


async def test_token_contains_team_id_and_generation(register):
    registered = await register(factories.form())

    prefix, team, generation, digest = registered.manage_token.split("_", 3)
    assert (prefix, team, generation) == ("icm", registered.team.id.hex, "1")
    assert len(digest) == 43


async def test_key_with_another_form_is_refused(register, sql):
    await register(factories.form(), key="a key of the test")
    before = await row_counts(sql)

    with pytest.raises(IdempotencyKeyReused):
        await register(factories.form(1), key="a key of the test")

    assert await row_counts(sql) == before


async def test_replay_after_erasure_finds_no_team(register, sql):
    await register(factories.form(), key="a key of the test")
    await sql.execute("DELETE FROM outbox_message")
    await sql.execute("DELETE FROM player")
    await sql.execute("DELETE FROM team")

    with pytest.raises(TeamNotFound):
        await register(factories.form(), key="a key of the test")


async def test_key_expires_after_a_day(register, clock):
    await register(factories.form(), key="a key of the test")
    clock.advance(hours=24)

    other = await register(factories.form(1), key="a key of the test")

    assert (other.team.code, other.is_replay) == ("ICCT-002", False)


async def test_replay_works_with_the_previous_secret(services, register):
    await register(factories.form(), key="a key of the test")
    secrets = Secrets(current="another secret", previous=services.secrets.current)
    rotated = replace(services, secrets=secrets)

    repeat = await register_team(
        rotated, factories.form(), key="a key of the test", request_id="request-of-the-test"
    )

    assert repeat.is_replay


async def test_concurrent_request_with_same_key_gets_the_first_result(register, sql):
    await sql.execute("BEGIN")
    await sql.execute("SELECT FROM tournament FOR UPDATE")
    first = asyncio.create_task(register(factories.form(), key="a key of the test"))
    await _wait_until_blocked(sql)
    second = asyncio.create_task(register(factories.form(), key="a key of the test"))
    await _wait_until_blocked(sql, 2)

    await sql.execute("COMMIT")
    answers = [await first, await second]

    assert [answer.is_replay for answer in answers] == [False, True]
    assert answers[0].team.id == answers[1].team.id
    assert (await row_counts(sql))["team"] == 1


async def test_concurrent_request_proceeds_after_a_rollback(register, sql):
    await sql.execute("BEGIN")
    await sql.execute(
        "INSERT INTO idempotency_record VALUES"
        " ('registerTeam', 'a key of the test', '', gen_random_uuid(), now() + interval '1 day')"
    )
    waiting = asyncio.create_task(register(factories.form(), key="a key of the test"))
    await _wait_until_blocked(sql)

    await sql.execute("ROLLBACK")

    assert not (await waiting).is_replay


async def test_concurrent_request_waits_at_most_the_lock_timeout(impatient_services, sql):
    await sql.execute("BEGIN")
    await sql.execute(
        "INSERT INTO idempotency_record VALUES"
        " ('registerTeam', 'a key of the test', '', gen_random_uuid(), now() + interval '1 day')"
    )

    with pytest.raises(IdempotencyInProgress) as refused:
        await register_team(
            impatient_services, factories.form(), key="a key of the test", request_id="request"
        )

    assert refused.value.retryable
    assert refused.value.retry_after_seconds == 1
    await sql.execute("ROLLBACK")
    assert await row_counts(sql) == NOTHING


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"captain": factories.person(90, email="person0@example.org")},
            ["DUPLICATE_CAPTAIN_EMAIL"],
        ),
        ({"captain": factories.person(90, phone="+91 90000 00000")}, ["DUPLICATE_CAPTAIN_PHONE"]),
        ({"teamName": "WARRIORS. 0", "churchName": "C.S.I. Church 0"}, ["DUPLICATE_TEAM_NAME"]),
        (
            {
                "teamName": "Warriors 0",
                "churchName": "CSI Church 0",
                "captain": factories.person(0),
            },
            ["DUPLICATE_TEAM_NAME", "DUPLICATE_CAPTAIN_PHONE", "DUPLICATE_CAPTAIN_EMAIL"],
        ),
    ],
)
async def test_values_of_a_live_team_are_refused(register, sql, changes, expected):
    await register(factories.form(0))
    before = await row_counts(sql)

    with pytest.raises(InvalidForm) as refused:
        await register(factories.form(45, **changes))

    assert [issue.code for issue in refused.value.issues] == expected
    assert await row_counts(sql) == before
    assert await slot_counts(sql) == (1, 2)


async def test_form_issues_and_duplicates_are_reported_together(register):
    await register(factories.form(0))
    squad = factories.players()
    squad[3]["name"] = "X"

    with pytest.raises(InvalidForm) as refused:
        await register(factories.form(45, captain=factories.person(0), players=squad))

    assert [(issue.code, issue.pointer) for issue in refused.value.issues] == [
        ("DUPLICATE_CAPTAIN_PHONE", "/input/captain/phone"),
        ("DUPLICATE_CAPTAIN_EMAIL", "/input/captain/email"),
        ("NAME_TOO_SHORT", "/input/players/3/name"),
    ]


async def test_capacity_is_checked_before_required_documents(register, sql):
    await sql.execute("UPDATE tournament SET required_documents = '{PASTOR_LETTER}', capacity = 0")
    with pytest.raises(TournamentFull):
        await register(factories.form())
    await sql.execute("UPDATE tournament SET capacity = NULL")

    with pytest.raises(InvalidForm) as refused:
        await register(factories.form())

    assert [(issue.code, issue.pointer) for issue in refused.value.issues] == [
        ("MISSING_DOCUMENT", "/input/documents")
    ]
    assert await row_counts(sql) == NOTHING


async def test_rules_without_limits_allow_everything(register, sql):
    await sql.execute("UPDATE tournament SET capacity = NULL, teams_per_church = NULL")

    codes = [
        (await register(factories.form(number, churchName="CSI Zion"))).team.code
        for number in range(17)
    ]

    assert codes[-1] == "ICCT-017"


async def test_dry_run_writes_nothing_and_lists_the_blockers(services, register, sql, clock):
    for number in range(2):
        await register(factories.form(number, churchName="CSI Zion"))
    await sql.execute("UPDATE tournament SET capacity = 2, closes_at = $1", clock.now)
    before = await row_counts(sql)

    validation = await validate_team(services, factories.form(3, churchName="CSI Zion"))

    assert validation.blockers == ("REGISTRATION_CLOSED", "CHURCH_LIMIT_REACHED", "TOURNAMENT_FULL")
    assert validation.issues == ()
    assert await row_counts(sql) == before


async def test_dry_run_reports_taken_names_but_not_taken_contacts(services, register):
    await register(factories.form(0))

    validation = await validate_team(services, factories.form(0))

    assert [issue.code for issue in validation.issues] == ["DUPLICATE_TEAM_NAME"]


@pytest.mark.parametrize(
    ("header", "argument", "chosen"),
    [
        (None, None, None),
        ("12345678", None, "12345678"),
        (None, "12345678", "12345678"),
        ("12345678", "12345678", "12345678"),
        ("x" * 255, None, "x" * 255),
    ],
)
def test_key_comes_from_header_or_argument(header, argument, chosen):
    assert resolve_idempotency_key(header, argument) == chosen


@pytest.mark.parametrize(
    ("header", "argument"),
    [
        ("12345678", "87654321"),
        ("1234567", None),
        (None, ""),
        (None, "x" * 256),
        (None, "key with \n line"),
        (None, "ключ-ключ-ключ"),
    ],
)
def test_invalid_key_is_refused(header, argument):
    with pytest.raises(BadUserInput):
        resolve_idempotency_key(header, argument)


async def _wait_until_blocked(sql, count: int = 1) -> None:
    """Wait until `count` connections wait for a lock."""
    async with asyncio.timeout(10):
        while (
            # Statistics views do not change within a transaction.
            await sql.fetchval("SELECT pg_stat_clear_snapshot()")
            or await sql.fetchval(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            < count
        ):
            await asyncio.sleep(0.005)
