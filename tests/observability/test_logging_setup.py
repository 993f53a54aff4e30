"""Format of log lines, and redaction of personal data in them."""

import io
import json
import logging
import stat
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import pytest
import structlog

from observability.logging_setup import configure_logging, current_request_id, log_context
from observability.redaction import REDACTED, scrub, scrub_message
from tests.logging_state import restored_logging

log = structlog.get_logger("tests.logging_setup")
UUID_TEXT = "6f1c0c52-5a0e-4c6e-9d0f-123456789012"


@pytest.fixture(autouse=True)
def _restored_logging():
    with restored_logging():
        yield
    logging.raiseExceptions = True


@pytest.fixture
def lines(monkeypatch):
    """Return a function that parses the lines written since the test began."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    configure_logging(level="INFO", environment="production")
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def fail(text):
    raise ValueError(text)


def test_line_has_the_documented_keys_in_order(lines):
    with log_context({"request_id": "01JABCDEFG"}):
        log.info(
            "request_finished", method="POST", status=200, response_time_ms=12.5, team_id=UUID_TEXT
        )

    (line,) = lines()
    assert list(line) == [
        "timestamp",
        "level",
        "logger",
        "message",
        "request_id",
        "team_id",
        "response_time_ms",
        "method",
        "status",
    ]
    time = datetime.fromisoformat(line.pop("timestamp"))
    assert time.utcoffset() == timedelta(0)
    assert line == {
        "level": "info",
        "logger": "tests.logging_setup",
        "message": "request_finished",
        "request_id": "01JABCDEFG",
        "team_id": UUID_TEXT,
        "response_time_ms": 12.5,
        "method": "POST",
        "status": 200,
    }


def test_events_below_the_level_are_not_logged(lines):
    log.debug("detail")
    logging.getLogger("library").debug("detail")

    assert lines() == []


def test_request_id_outside_a_request_is_empty():
    assert current_request_id() == ""

    with log_context({"request_id": "01JABCDEFG"}):
        assert current_request_id() == "01JABCDEFG"

    assert current_request_id() == ""


PERSONAL = [
    "+91 98765 43210",
    "9876543210",
    "(98765) - 43210",
    "098765-43210",
    "९८७६५४३२१०",
    "2345 6789 0123",
    "asha.thomas+team@church.example.org",
    "asha%40church.example",
    "postgresql+asyncpg://icct:hunter2@db.example:5432/icct26",
    "icm_Zk3-9_xyzABCDEFG",
    "ici_Zk3-9_xyzABCDEFG",
    "ics_Zk3-9_xyzABCDEFG",
    "ict_Zk3-9_xyzABCDEFG",
    "password=hunter2",
    '"secret": "hunter2"',
    "Authorization: Bearer abc.def.ghi",
    "Bearer abcdefghijk",
]
SECRET_FRAGMENTS = (
    *("98765", "43210", "९८७६५", "2345 6789", "asha", "church.example", "hunter2"),
    *("Zk3", "abc.def", "abcdefghijk", "Thomas"),
)


@pytest.mark.parametrize("text", PERSONAL)
def test_personal_data_is_redacted_in_messages_fields_and_tracebacks(lines, text):
    sentence = f"said {text} aloud"
    log.warning(sentence, note=text, nested={"deep": [{"deeper": (text,)}]})
    logging.getLogger("uvicorn.error").error("said %s aloud", text)
    try:
        fail(text)
    except ValueError:
        log.exception("unexpected_exception")
        logging.getLogger("asyncio").exception("never retrieved: %r", ValueError(text))

    written = lines()
    assert len(written) == 4
    assert REDACTED in written[0]["message"]
    assert REDACTED in written[1]["message"]
    assert "ValueError" in written[2]["exception"]
    text = json.dumps(written, ensure_ascii=False)
    assert not [fragment for fragment in SECRET_FRAGMENTS if fragment in text]


@pytest.mark.parametrize(
    "key",
    [
        *("email", "captain_email", "captainEmail", "phone", "whatsapp", "name", "team_name"),
        *("password", "manageToken", "secret_key", "Authorization", "Set-Cookie", "cookie"),
        *("idempotency_key", "storage_key", "client_address", "date_of_birth", "x_forwarded_for"),
    ],
)
def test_fields_with_sensitive_names_are_redacted(lines, key):
    log.info("event", **{key: "Asha"}, outer={key: {"inner": "Asha"}}, rows=[{key: 7}])

    (line,) = lines()
    assert line[key] == REDACTED
    assert line["outer"] == {key: REDACTED}
    assert line["rows"] == [{key: REDACTED}]


def test_fields_with_harmless_names_are_not_redacted(lines):
    harmless = {
        "team": "ICCT-001",
        "players": 15,
        "sqlstate": "23505",
        "tokens": 1800,
        "ratio": 0.25,
        "ready": True,
        "nothing": None,
        "trace": UUID_TEXT,
        "digest": "0123456789012345678901234567890123456789",
        "ulid": "01JD0123456789012345678901",
        "at": "2026-11-23T06:41:57.123456Z",
        "route": "/graphql",
    }

    log.info("event", **harmless)

    (line,) = lines()
    assert {key: line[key] for key in harmless} == harmless


@dataclass
class Person:
    given: str


def test_objects_are_logged_by_their_type_only(lines):
    log.info(
        "event",
        form=Person(given="Asha"),
        raw=b"Asha",
        id=UUID(UUID_TEXT),
        error=ValueError("no church called 'Asha Thomas'"),
        number=9876543210,
        many=[Person(given="Asha")],
    )

    (line,) = lines()
    assert line["form"] == "<Person>"
    assert line["raw"] == "<bytes>"
    assert line["id"] == UUID_TEXT
    assert line["error"] == "ValueError: no church called '…'"
    assert line["number"] == REDACTED
    assert line["many"] == ["<Person>"]


def test_unusual_values_are_logged_without_an_error(lines):
    cyclic: dict[str, object] = {}
    cyclic["self"] = cyclic

    log.info("event", cyclic=cyclic, lone="\ud800", huge=10**400, broken="a\nb")
    logging.getLogger("library").info("%d too few", "Asha")

    (line,) = lines()
    assert line["lone"] == "\ud800"
    assert line["huge"] == REDACTED
    assert line["broken"] == "a\nb"


def test_traceback_contains_lines_but_no_values(lines):
    captain = "Asha Thomas"

    def register(name):
        raise KeyError(name)

    try:
        try:
            register(captain)
        except KeyError as error:
            message = f"form of {captain!r} lacks 'team_name'"
            raise ExceptionGroup("several", [ValueError(message)]) from error
    except ExceptionGroup as error:
        error.add_note("sent by asha@church.example")
        log.exception("unexpected_exception")

    (line,) = lines()
    assert "Asha" not in line["exception"]
    assert "asha@" not in line["exception"]
    assert "in register" in line["exception"]
    assert "raise KeyError(name)" in line["exception"]
    assert "KeyError: '…'" in line["exception"]
    assert "ValueError: form of '…' lacks 'team_name'" in line["exception"]


POSTGRES = """(sqlalchemy.dialects.asyncpg.IntegrityError) <class 'UniqueViolationError'>: \
duplicate key value violates unique constraint "uq_team_captain_email"
DETAIL:  Key (captain_email)=(Asha (Thomas) of
Kochi) already exists.
HINT:  none
CONTEXT:  unnamed portal with parameters: $1 = 'Asha'
[SQL: INSERT INTO team (captain_name) VALUES ($1)]
[parameters: ('Asha Thomas', 'Kochi')]
(Background on this error at: https://sqlalche.me/e/20/gkpj)"""


def test_database_error_keeps_its_constraint_but_not_its_row():
    scrubbed = scrub_message(POSTGRES)

    assert "uq_team_captain_email" in scrubbed
    assert "HINT:  none" in scrubbed
    assert "[SQL: INSERT INTO team (captain_name) VALUES ($1)]" in scrubbed
    assert "gkpj" in scrubbed
    assert "Asha" not in scrubbed
    assert "Kochi" not in scrubbed


@pytest.mark.parametrize(
    "message",
    [
        "Failing row contains (1, Asha, null).",
        "Key (name)=(Asha) already exists.",
        "invalid input for query argument $1: Asha (expected int)",
        'invalid input syntax for type integer: "Asha"',
    ],
)
def test_values_in_other_database_messages_are_redacted(message):
    assert "Asha" not in scrub_message(message)


def test_long_text_is_cut_to_8000_characters():
    assert len(scrub("word " * 10_000)) == 8_000


def test_sql_statements_and_uvicorn_access_lines_are_not_logged(capsys):
    configure_logging(level="DEBUG", environment="production")

    logging.getLogger("sqlalchemy.engine.Engine").info("INSERT … [cached] ('Asha',)")
    logging.getLogger("uvicorn.access").info('127.0.0.1:5 - "GET /graphql?query=x" 200')
    logging.getLogger("uvicorn.error").info("Application startup complete.")

    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["message"] == "Application startup complete."


def test_development_log_is_readable_text_and_redacted(capsys):
    configure_logging(level="INFO", environment="development")

    address = "asha@church.example"
    try:
        fail(address)
    except ValueError:
        log.exception("mail_failed", phone="9876543210", attempt=2)

    text = capsys.readouterr().err
    assert "mail_failed" in text
    assert "attempt=2" in text
    assert f"phone={REDACTED}" in text
    assert f"ValueError: {REDACTED}" in text
    assert "asha@" not in text


def test_log_file_is_private_rotates_and_holds_json_in_development(tmp_path, capsys):
    file = tmp_path / "logs" / "service.log"
    file.parent.mkdir()
    file.touch(mode=0o644)
    configure_logging(
        level="INFO", environment="development", file=file, file_max_bytes=2_000, file_backups=2
    )

    for number in range(40):
        log.info("event", number=number, email="asha@church.example")

    files = sorted(file.parent.iterdir())
    assert [path.name for path in files] == ["service.log", "service.log.1", "service.log.2"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    written = [json.loads(line) for path in files for line in path.read_text().splitlines()]
    assert {line["email"] for line in written} == {REDACTED}
    assert max(line["number"] for line in written) == 39


def test_second_configuration_replaces_the_handlers(capsys):
    configure_logging(level="INFO", environment="production")
    configure_logging(level="WARNING", environment="production")

    log.info("unseen")
    log.warning("seen")

    assert [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()] == [
        "seen"
    ]


def test_hostile_text_is_scrubbed_within_two_seconds():
    texts = ("1 " * 5_000, "a" * 8_000 + "@", "(" * 8_000, "'" * 8_000, "x://" * 2_000 + "@")
    began = datetime.now().astimezone()

    for text in texts:
        scrub_message(text)

    assert datetime.now().astimezone() - began < timedelta(seconds=2)
