"""All error codes have the envelope, and received values are never returned."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from jsonschema import ValidationError
from structlog.testing import capture_logs

from domain.datetimes import format_utc
from domain.errors.base import DomainError
from domain.errors.codes import CATALOG, ErrorCode
from domain.errors.exceptions import (
    BadUserInput,
    BodyTooLarge,
    ChurchLimitReached,
    FileTooLarge,
    FileTypeNotAllowed,
    InvalidForm,
    InvalidStatusTransition,
    NotFound,
    QueryTooComplex,
    RateLimited,
    RegistrationClosed,
    RegistrationNotOpen,
    SignInFailed,
    StaleVersion,
    TournamentFull,
    UploadOffsetMismatch,
)
from domain.errors.issue_codes import IssueCode
from domain.errors.issues import Issue
from observability.logging_setup import configure_logging
from schema.errors import error_body
from tests import factories
from tests.databases import dsn
from tests.graphql_client import (
    GRAPHQL_TYPE,
    UNREACHABLE_DATABASE,
    app_client,
    check_envelope,
    data,
    error_extensions,
    execute,
)
from tests.logging_state import restored_logging

NOW = datetime(2026, 11, 23, tzinfo=UTC)
ISSUE = Issue(("input", "players", 3, "name"), IssueCode.NAME_TOO_SHORT, "Longer.", {"min": 2})
TRANSITION = {"from": "PENDING", "attempted": "resubmitMyTeam", "allowed": ["withdrawMyTeam"]}
WITH_ARGUMENTS: dict[str, DomainError] = {
    error.code: error
    for error in (
        InvalidForm([ISSUE]),
        RegistrationNotOpen(NOW),
        RegistrationClosed(NOW),
        TournamentFull(16),
        ChurchLimitReached(limit=2, registered=2),
        RateLimited(7),
        QueryTooComplex(limit="depth", allowed=10, actual=11),
        BodyTooLarge(1000),
        InvalidStatusTransition(details=TRANSITION),
        StaleVersion(details={"currentVersion": 2, "isYours": False}),
        UploadOffsetMismatch(details={"uploadOffset": 3}),
        FileTooLarge(details={"limitBytes": 1000}),
        FileTypeNotAllowed(details={"formats": ["PNG"]}),
        BadUserInput(ISSUE),
    )
}
TOURNAMENT = "{ tournament { name } }"
KEY = "a key of the test"


async def register(client, number=0, key=None, **changes):
    headers = {"Idempotency_Key": key} if key else {}
    return await execute(
        client, factories.REGISTER, {"input": factories.team(number, **changes)}, **headers
    )


@pytest.mark.parametrize("code", ErrorCode)
def test_the_envelope_of_every_code_fits_the_published_schema(code):
    error = WITH_ARGUMENTS.get(code) or CATALOG[code]()
    metadata = CATALOG[code]
    with pytest.raises(DomainError) as raised:
        raise error

    body = json.loads(error_body(raised.value, "01JABCDEFG"))

    check_envelope(body)
    assert body == {
        "errors": [
            {
                "message": error.message,
                "extensions": {
                    "code": code.value,
                    "category": metadata.category.value,
                    "requestId": "01JABCDEFG",
                    "retryable": metadata.retryable,
                    "retryAfterSeconds": error.retry_after_seconds,
                    "docUrl": f"/errors#{code.value}",
                    "issues": [
                        {
                            "path": ["input", "players", 3, "name"],
                            "pointer": "/input/players/3/name",
                            "code": "NAME_TOO_SHORT",
                            "message": "Longer.",
                            "params": {"min": 2},
                        }
                    ]
                    if code in {ErrorCode.VALIDATION_FAILED, ErrorCode.BAD_USER_INPUT}
                    else [],
                    "details": error.details,
                },
            }
        ]
    }


@pytest.mark.parametrize(
    "error",
    [
        NotFound(details={"id": 1}),
        SignInFailed(details={"attempts": 3}),
        StaleVersion(details={"currentVersion": 2}),
        StaleVersion(details={"currentVersion": "2", "isYours": False}),
        InvalidForm([ISSUE]),
        UploadOffsetMismatch(),
        FileTypeNotAllowed(details={"formats": "PNG"}),
        ChurchLimitReached(limit=2, registered=None),
        BadUserInput(ISSUE, details={"path": ["input", 1.5]}),
        *(
            InvalidStatusTransition(details={**TRANSITION, **changes})
            for changes in (
                {"blockers": [{}]},
                {"blockers": [{"code": "LATE", "message": "It is late."}]},
                {"from": "pending"},
                {"attempted": "confirm"},
                {"attempted": "CONFIRM_TEAM"},
                {"attempted": "registerTeam"},
                {"allowed": ["reopen"]},
                {"allowed": "reopenTeam"},
            )
        ),
        QueryTooComplex(limit="breadth", allowed=10, actual=11),
        FileTypeNotAllowed(details={"formats": ["image/png"]}),
    ],
)
def test_details_that_are_not_documented_do_not_fit_the_published_schema(error):
    if isinstance(error, InvalidForm):
        error.details["count"] = 1

    with pytest.raises(ValidationError):
        check_envelope(json.loads(error_body(error, "01JABCDEFG")))


async def test_catalogue_names_the_details_of_each_code(client):
    query = "{ errorCatalog { code details { name type isRequired description } } }"
    catalogue = {
        entry["code"]: [
            (detail["name"], detail["type"], detail["isRequired"], bool(detail["description"]))
            for detail in entry["details"]
        ]
        for entry in data(await execute(client, query))["errorCatalog"]
    }

    assert catalogue["STALE_VERSION"] == [
        ("currentVersion", "integer", True, True),
        ("isYours", "boolean", True, True),
    ]
    assert catalogue["REGISTRATION_CLOSED"] == [("closesAt", "date-time", True, True)]
    assert catalogue["SIGN_IN_FAILED"] == [("secondFactorRequired", "boolean", False, True)]
    assert catalogue["NOT_FOUND"] == []


@pytest.mark.parametrize(
    ("query", "variables", "code"),
    [
        ("{ tournament { name }", None, "GRAPHQL_PARSE_FAILED"),
        ("{ tournament { nothing } }", None, "GRAPHQL_VALIDATION_FAILED"),
        ("{ churches(first: {}) { totalCount } }", None, "GRAPHQL_VALIDATION_FAILED"),
        (f"{{ churches(first: {'9' * 10_000}) {{ totalCount }} }}", None,
         "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { tournament }", None, "GRAPHQL_VALIDATION_FAILED"),
        ("{ " + "tournament " * 3000 + "}", None, "QUERY_TOO_COMPLEX"),
        ("{ a" * 900 + " }" * 900, None, "QUERY_TOO_COMPLEX"),
        (f"{{ churches(search: {'[' * 900}{']' * 900}) {{ totalCount }} }}", None,
         "QUERY_TOO_COMPLEX"),
        ("query ($n: Int) { churches(first: $n) { totalCount } }", {"n": "x"}, "BAD_USER_INPUT"),
        (factories.VALIDATE, {}, "BAD_USER_INPUT"),
        (factories.VALIDATE, {"input": factories.team(teamName={"a": "b"})}, "BAD_USER_INPUT"),
        (factories.VALIDATE, {"input": factories.team() | {"unknown": 1}}, "BAD_USER_INPUT"),
        (factories.VALIDATE, {"input": factories.team() | {"\ud800": 1}}, "BAD_USER_INPUT"),
        ("{ churches(first: 0) { totalCount } }", None, "BAD_USER_INPUT"),
        ('{ churches(after: "x") { totalCount } }', None, "BAD_USER_INPUT"),
        (r'{ churches(search: "\u0000") { totalCount } }', None, "BAD_USER_INPUT"),
        ("query ($s: String) { churches(search: $s) { totalCount } }", {"s": "\ud800"},
         "BAD_USER_INPUT"),
        ("query A { tournament { id } } query B { tournament { id } }", None, "BAD_USER_INPUT"),
        ("fragment A on Query { tournament { id } }", None, "BAD_USER_INPUT"),
    ],
)  # fmt: skip
async def test_invalid_documents_and_variables_are_refused(client, query, variables, code):
    answer = await execute(client, query, variables)

    assert refused_any(answer) == code
    assert answer.status_code == 400


def refused_any(answer) -> str:
    """Return the only code of all errors of a response."""
    check_envelope(answer.json())
    (code,) = {error["extensions"]["code"] for error in answer.json()["errors"]}
    return code


@pytest.mark.parametrize(
    ("header", "argument"),
    [("12345678", "87654321"), ("short", None), (None, "short"), ("x" * 256, None)],
)
async def test_invalid_or_contradictory_idempotency_keys_are_refused(client, header, argument):
    answer = await register(client, key=header, idempotencyKey=argument)

    assert error_extensions(answer)["code"] == "BAD_USER_INPUT"
    assert answer.json()["data"] == {"registerTeam": None}


async def test_invalid_form_is_refused_with_its_issues(client):
    answer = await register(client, captain=factories.person(phone="0000000000"))

    assert answer.status_code == 200
    extensions = error_extensions(answer)
    assert (extensions["code"], extensions["category"]) == ("VALIDATION_FAILED", "USER_INPUT")
    assert [issue["pointer"] for issue in extensions["issues"]] == ["/input/captain/phone"]
    assert answer.json()["errors"][0]["path"] == ["registerTeam"]
    assert answer.json()["errors"][0]["message"] == "1 detail needs attention."


async def test_team_above_the_church_limit_is_refused(client):
    for number in range(2):
        data(await register(client, number, churchName="CSI Zion"))

    extensions = error_extensions(await register(client, 2, churchName="C.S.I. ZION"))

    assert extensions["code"] == "CHURCH_LIMIT_REACHED"
    assert extensions["details"] == {"limit": 2, "registered": 2}


async def test_full_tournament_is_refused(client, sql):
    await sql.execute("UPDATE tournament SET capacity = 1")
    data(await register(client, 0))

    extensions = error_extensions(await register(client, 1))

    assert (extensions["code"], extensions["details"]) == ("TOURNAMENT_FULL", {"capacity": 1})


async def test_closed_registration_is_refused(client, sql):
    day = timedelta(days=1)
    now = datetime.now(UTC)
    await sql.execute("UPDATE tournament SET opens_at = $1", now + day)
    early = error_extensions(await register(client))
    await sql.execute("UPDATE tournament SET opens_at = NULL, closes_at = $1", now - day)
    late = error_extensions(await register(client))

    assert (early["code"], early["details"]) == (
        "REGISTRATION_NOT_OPEN",
        {"opensAt": format_utc(now + day)},
    )
    assert (late["code"], late["details"]) == (
        "REGISTRATION_CLOSED",
        {"closesAt": format_utc(now - day)},
    )


async def test_idempotency_key_of_another_form_is_refused(client):
    data(await register(client, 0, key=KEY))
    deep: list = []
    for _ in range(900):
        deep = [deep]

    another = error_extensions(await register(client, 1, key=KEY))
    half = error_extensions(await register(client, 0, key=KEY, teamName="\ud800"))
    nested = factories.team(0)
    nested["captain"]["phone"] = deep
    answer = await execute(client, factories.REGISTER, {"input": nested}, Idempotency_Key=KEY)

    assert [another["code"], half["code"], error_extensions(answer)["code"]] == [
        "IDEMPOTENCY_KEY_REUSED"
    ] * 3


async def test_idempotency_key_of_an_erased_team_is_refused(client, sql):
    data(await register(client, key=KEY))
    await sql.execute("TRUNCATE team, player, document, decision, outbox_message")

    assert error_extensions(await register(client, key=KEY))["code"] == "TEAM_NOT_FOUND"


async def test_idempotency_key_in_use_is_refused(settings_with, database_url, sql):
    await sql.execute("BEGIN")
    await sql.execute(
        "INSERT INTO idempotency_record VALUES"
        " ('registerTeam', $1, '', gen_random_uuid(), now() + interval '1 day')",
        KEY,
    )
    settings = settings_with(database_lock_timeout_seconds=1)
    async with app_client(settings, database_url) as client:
        answer = await register(client, key=KEY)
    await sql.execute("ROLLBACK")

    extensions = error_extensions(answer)
    assert (extensions["code"], extensions["retryAfterSeconds"]) == ("IDEMPOTENCY_IN_PROGRESS", 1)


async def test_too_slow_request_times_out(settings_with, database_url, sql):
    await sql.execute("BEGIN")
    await sql.execute("LOCK TABLE tournament")
    async with app_client(settings_with(request_timeout_seconds=1), database_url) as client:
        answer = await execute(client, TOURNAMENT)
    await sql.execute("ROLLBACK")

    assert (answer.status_code, error_extensions(answer)["code"]) == (504, "REQUEST_TIMEOUT")


@pytest.mark.parametrize(
    ("method", "path", "sent", "expected"),
    [
        ("DELETE", "/graphql", {}, (405, "METHOD_NOT_ALLOWED")),
        ("GET", "/graphql?query=mutation{registerTeam}", {}, (405, "METHOD_NOT_ALLOWED")),
        ("POST", "/livez", {}, (405, "METHOD_NOT_ALLOWED")),
        ("POST", "/graphql", {"content": b"{}"}, (415, "UNSUPPORTED_MEDIA_TYPE")),
        ("POST", "/graphql", {"content": b"x" * 300_000}, (413, "BODY_TOO_LARGE")),
        ("POST", "/graphql", {"json": {}}, (400, "BAD_USER_INPUT")),
        ("GET", "/nothing", {}, (404, "NOT_FOUND")),
        ("GET", "/errors", {"headers": {"Host": "else.example"}}, (400, "BAD_USER_INPUT")),
        (
            "POST",
            "/graphql",
            {"json": {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "0"}}}},
            (400, "PERSISTED_QUERY_NOT_SUPPORTED"),
        ),
    ],
)
async def test_http_errors_have_the_same_envelope(client, method, path, sent, expected):
    answer = await client.request(method, path, **sent)

    assert (answer.status_code, error_extensions(answer)["code"]) == expected


@pytest.mark.parametrize("accept", ["application/json", GRAPHQL_TYPE])
async def test_rate_limited_request_gets_retry_after(settings_with, database_url, accept):
    settings = settings_with(enable_rate_limiting=True, rate_limit_requests=1, rate_limit_queries=1)
    async with app_client(settings, database_url) as client:
        await execute(client, "{ __typename }")
        query = await execute(client, TOURNAMENT, Accept=accept)
        await register(client, players=[])
        mutation = await execute(
            client, factories.REGISTER, {"input": factories.team(players=[])}, Accept=accept
        )

    for answer in (query, mutation):
        extensions = error_extensions(answer)
        assert (answer.status_code, extensions["code"]) == (429, "RATE_LIMITED")
        assert extensions["retryAfterSeconds"] in range(50, 61)
        assert "data" not in answer.json()


@pytest.mark.parametrize(("accept", "status"), [("application/json", 200), (GRAPHQL_TYPE, 503)])
async def test_unavailable_database_is_retryable(settings_with, accept, status):
    async with app_client(settings_with(), UNREACHABLE_DATABASE) as client:
        answer = await execute(client, TOURNAMENT, Accept=accept)
        changing = await register(client)

    extensions = error_extensions(answer)
    assert (answer.status_code, extensions["code"]) == (status, "SERVICE_UNAVAILABLE")
    assert (extensions["retryable"], extensions["retryAfterSeconds"]) == (True, 2)
    assert answer.json()["data"] is None
    assert error_extensions(changing)["code"] == "SERVICE_UNAVAILABLE"
    assert (changing.status_code, changing.json()["data"]) == (200, {"registerTeam": None})


async def test_unexpected_exception_is_masked_and_logged(client, sql, written):
    await sql.execute("UPDATE tournament SET is_active = false")

    answer = await execute(client, TOURNAMENT, X_Request_ID="request-of-the-test")

    assert answer.status_code == 500
    assert error_extensions(answer)["code"] == "INTERNAL"
    assert answer.json()["errors"][0]["message"] == (
        "Something went wrong on our side. Please tell the organisers."
    )
    (line,) = [entry for entry in written() if entry["level"] == "error"]
    assert line["request_id"] == "request-of-the-test"
    assert "NoResultFound" in line["exception"]


async def test_logged_exception_is_not_among_its_own_causes(client, sql):
    await sql.execute("UPDATE tournament SET is_active = false")

    with capture_logs() as logs:
        # Operations are compiled when they are repeated.
        for _ in range(3):
            await execute(client, TOURNAMENT)

    errors = [entry["exc_info"] for entry in logs if entry["event"] == "unexpected_exception"]
    assert len(errors) == 3
    for error in errors:
        causes = []
        cause = error.__cause__ or error.__context__
        while cause is not None and cause not in causes:
            causes.append(cause)
            cause = cause.__cause__ or cause.__context__
        assert error not in causes


@pytest.fixture
def written(tmp_path):
    """Read the log of a production service."""
    file = tmp_path / "service.log"

    def lines():
        read = [json.loads(line) for line in file.read_text().splitlines()]
        # The client of the tests writes as well.
        return [line for line in read if line["logger"] != "httpx"]

    with restored_logging():
        configure_logging(
            level="DEBUG",
            environment="production",
            file=file,
            file_max_bytes=10_000_000,
            file_backups=1,
        )
        yield lines


MARK = "Zqxjkvbwarf"
FIRST = "query ($v: Int) { churches(first: $v) { totalCount } }"
SEARCH = "query ($v: String) { churches(search: $v) { totalCount } }"
AFTER = "query ($v: String) { churches(after: $v) { totalCount } }"
DOCUMENT = {"kind": "PHOTO", "documentId": "1"}
PLANTED = {
    "a string for a number": (f'{{ churches(first: "{MARK}") {{ totalCount }} }}', None),
    "a block string": (f'{{ churches(first: """\n{MARK}\n""") {{ totalCount }} }}', None),
    "an object for a number": (f'{{ churches(first: {{a: "{MARK}"}}) {{ totalCount }} }}', None),
    "a name for a number": (f"{{ churches(first: {MARK}) {{ totalCount }} }}", None),
    "a list for a string": (f'{{ churches(search: ["{MARK}"]) {{ totalCount }} }}', None),
    "a string for an input": (f'{{ validateTeam(input: "{MARK}") {{ isValid }} }}', None),
    "a string for a switch": (f'{{ tournament @include(if: "{MARK}") {{ id }} }}', None),
    "a default of a variable": (FIRST.replace("Int", f'Int = "{MARK}"'), None),
    "an unfinished string": (f'{{ churches(search: "{MARK}) {{ totalCount }} }}', None),
    "a value of an enumeration": (
        f"{{ validateTeam(input: {{documents: [{{kind: {MARK}}}]}}) {{ isValid }} }}",
        None,
    ),
    "a string of an enumeration": (
        f'{{ validateTeam(input: {{documents: [{{kind: "{MARK}"}}]}}) {{ isValid }} }}',
        None,
    ),
    "a comment": (f"{{ tournament # {MARK}", None),
    "a string variable": (FIRST, {"v": MARK}),
    "a list variable": (FIRST, {"v": [MARK]}),
    "an object variable": (FIRST, {"v": {MARK: MARK}}),
    "an object for a text": (SEARCH, {"v": {MARK: 1}}),
    "half a character": (SEARCH, {"v": f"{MARK}\ud800"}),
    "NUL": (SEARCH, {"v": f"{MARK}\0"}),
    "a cursor": (AFTER, {"v": MARK}),
    "another variable": (FIRST, {MARK: MARK, "v": "x"}),
    "the input itself": (factories.VALIDATE, {"input": MARK}),
    "a part of the input": (factories.VALIDATE, {"input": factories.team(captain=MARK)}),
    "a list of the input": (factories.VALIDATE, {"input": factories.team(players=MARK)}),
    "an entry of a list": (factories.VALIDATE, {"input": factories.team(players=[MARK])}),
    "a key": (factories.VALIDATE, {"input": factories.team() | {MARK: 1}}),
    "a key with quotes": (factories.VALIDATE, {"input": factories.team() | {f"x' 'y' {MARK}": 1}}),
    "a key with a line break": (
        factories.VALIDATE,
        {"input": factories.team() | {f"x\n{MARK}": 1}},
    ),
    "a name that is an object": (
        factories.VALIDATE,
        {"input": factories.team(teamName={"a": MARK})},
    ),
    "a kind": (
        factories.VALIDATE,
        {"input": factories.team(documents=[DOCUMENT | {"kind": MARK}])},
    ),
    "a kind that is an object": (
        factories.VALIDATE,
        {"input": factories.team(documents=[DOCUMENT | {"kind": {"a": MARK}}])},
    ),
    "an id that is a list": (
        factories.VALIDATE,
        {"input": factories.team(documents=[DOCUMENT | {"documentId": [MARK]}])},
    ),
    "leaves of the form": (
        factories.REGISTER,
        {
            "input": factories.team(
                teamName=f"<{MARK}>",
                captain=factories.person(name=f"{MARK}1", phone=MARK, email=[MARK]),
                viceCaptain=factories.person(1, whatsapp={"a": MARK}),
                players=[
                    {"name": f"{MARK}?", "role": MARK, "jerseyNumber": MARK, "dateOfBirth": MARK}
                ],
                documents=[{"kind": "PHOTO", "documentId": MARK}],
                consentVersion=MARK,
                locale=MARK,
            )
        },
    ),
    "a key that is none": (
        factories.REGISTER,
        {"input": factories.team(idempotencyKey=f"{MARK}\n")},
    ),
}


@pytest.mark.parametrize("place", PLANTED)
@pytest.mark.parametrize("accept", ["application/json", GRAPHQL_TYPE])
async def test_received_values_are_neither_returned_nor_logged(client, written, place, accept):
    query, variables = PLANTED[place]

    answer = await execute(client, query, variables, Accept=accept)

    check_envelope(answer.json())
    assert MARK not in answer.text
    assert [entry["message"] for entry in written()] == ["request_finished"]
    assert MARK not in json.dumps(written())


@pytest.mark.parametrize(
    "sent",
    [
        {"content": f'{{"query": "{MARK}'},
        {"content": f'"{MARK}"'},
        {"json": [MARK]},
        {"json": {"query": {"a": MARK}}},
        {"json": {"query": TOURNAMENT, "variables": MARK}},
        {"json": {"query": TOURNAMENT, "operationName": MARK}},
        {"json": {"query": TOURNAMENT, "operationName": [MARK]}},
        {"json": {"query": TOURNAMENT, "extensions": MARK}},
        {"json": {"extensions": {"persistedQuery": {"sha256Hash": MARK}}}},
        {"json": {"query": factories.REGISTER, "variables": {"input": factories.team()}},
         "headers": {"Idempotency-Key": f"{MARK}é".encode("latin-1")}},
        {"json": {}, "headers": {"Content-Type": f"text/{MARK}"}},
        {"json": {}, "headers": {"Host": f"{MARK}.example"}},
        {"json": {}, "params": {"query": MARK}},
    ],
)  # fmt: skip
async def test_parts_of_requests_are_neither_returned_nor_logged(client, written, sent):
    sent = sent | {"headers": {"Content-Type": "application/json"} | sent.get("headers", {})}

    answer = await client.post("/graphql", **sent)

    error_extensions(answer)
    assert MARK not in answer.text
    assert MARK not in json.dumps(written())


async def test_database_error_does_not_reveal_rows(client, database_url, sql, written):
    await sql.execute("ALTER TABLE player RENAME COLUMN position TO place")
    try:
        answer = await register(client, teamName=MARK, churchName=f"{MARK} Church")
    finally:
        admin = await asyncpg.connect(dsn(database_url))
        await admin.execute("ALTER TABLE player RENAME COLUMN place TO position")
        await admin.close()

    assert error_extensions(answer)["code"] == "INTERNAL"
    assert MARK not in answer.text
    assert MARK not in json.dumps(written())
    assert [entry["level"] for entry in written()] == ["error", "info"]


async def test_two_failed_fields_have_two_errors(client):
    query = "{ a: churches(first: 0) { totalCount } b: churches(first: 101) { totalCount } }"

    answers = await asyncio.gather(*(execute(client, query) for _ in range(3)))

    for answer in answers:
        assert refused_any(answer) == "BAD_USER_INPUT"
        assert answer.json()["data"] is None
