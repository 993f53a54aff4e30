"""Every refusal of an argument names its place in `issues`, however it was sent."""

import ast
import base64
import json
from pathlib import Path

import pytest
from graphql import parse

from domain.auth.roles import Role
from domain.errors.exceptions import BadUserInput, MalformedRequest
from domain.errors.issue_codes import IssueCode
from domain.errors.issues import issue_message
from schema.limits.literal_paths import literal_path
from tests import factories
from tests.accounts import PASSWORD, bearer_headers
from tests.graphql_client import check_envelope, data, error_extensions, execute
from tests.schema.teams.test_corrections import rows
from tests.schema.teams.test_decisions import register
from tests.uploading import upload

ROOT = Path(__file__).parents[2]
FOLDERS = ("domain", "persistence", "resolvers", "schema", "web")
# The only modules that refuse what is no argument of an operation: heads, bodies, documents.
OUTSIDE_OF_ARGUMENTS = {
    "resolvers/registration/register.py": 1,
    "resolvers/documents/uploads.py": 1,
    "schema/__init__.py": 1,
    "schema/errors.py": 2,
    "schema/limits/query_limits.py": 1,
    "schema/idempotency.py": 1,
    "web/middleware/cors.py": 1,
    "web/graphql/endpoint.py": 2,
    "web/server/protocol_errors.py": 2,
    "web/middleware/trusted_host.py": 1,
    "web/graphql/request.py": 6,
    "web/routes/uploads.py": 2,
}
CONNECTIONS = ["churches", "teams", "auditLog", "deliveries"]
SIZE = {"min": 1, "max": 100}
BETWEEN = "{} must be between 1 and 100."
NO_CURSOR = "{} is not a cursor of this list. Please start from the first page."


@pytest.fixture
async def owner(services) -> dict[str, str]:
    return await bearer_headers(services, Role.OWNER)


def check_issue(answer, path, code, params=None, *, message=None, error="BAD_USER_INPUT") -> None:
    """The one error has one issue, exactly this one."""
    extensions = error_extensions(answer)
    params = params or {}
    assert extensions["code"] == error
    assert extensions["issues"] == [
        {
            "path": path,
            "pointer": "".join(f"/{step}" for step in path),
            "code": code,
            "message": issue_message(IssueCode(code), params),
            "params": params,
        }
    ]
    if message is not None:
        assert answer.json()["errors"][0]["message"] == message


def of_module(file: Path) -> int:
    """Count the errors without a path that a module raises."""
    return sum(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == MalformedRequest.__name__
        for node in ast.walk(ast.parse(file.read_text()))
    )


def test_refusals_without_a_place_are_made_only_outside_of_arguments():
    counts = {
        file.relative_to(ROOT).as_posix(): count
        for folder in FOLDERS
        for file in (ROOT / folder).rglob("*.py")
        if (count := of_module(file))
    }

    assert counts == OUTSIDE_OF_ARGUMENTS


def test_refusal_of_an_argument_cannot_be_made_without_a_place():
    with pytest.raises(TypeError):
        BadUserInput()
    with pytest.raises(TypeError):
        BadUserInput(message="This is wrong.")
    with pytest.raises(AttributeError):
        BadUserInput("This is wrong.")


@pytest.mark.parametrize("name", CONNECTIONS)
@pytest.mark.parametrize("size", [0, -1, 101, -(2**31), 2**31 - 1])
async def test_size_of_a_page_is_refused_at_first(client, owner, name, size):
    query = f"query Q($n: Int) {{ {name}(first: $n) {{ totalCount }} }}"

    literal = f"{{ {name}(first: {size}) {{ nodes {{ id }} }} }}"

    for document, variables in ((query, {"n": size}), (literal, None)):
        answer = await execute(client, document, variables, **owner)
        check_issue(answer, ["first"], "NUMBER_OUT_OF_RANGE", SIZE, message=BETWEEN.format("first"))


@pytest.mark.parametrize("size", [0, -5, 101])
async def test_size_of_a_page_from_the_end_is_refused_at_last(client, owner, size):
    answer = await execute(client, f"{{ teams(last: {size}) {{ totalCount }} }}", **owner)

    check_issue(answer, ["last"], "NUMBER_OUT_OF_RANGE", SIZE, message=BETWEEN.format("last"))


@pytest.mark.parametrize(("first", "last"), [(1, 1), (0, 500), (100, 100)])
async def test_two_sizes_of_a_page_are_refused_at_the_second(client, owner, first, last):
    query = f"{{ teams(first: {first}, last: {last}) {{ totalCount }} }}"

    answer = await execute(client, query, **owner)

    params = {"names": ["first", "last"]}
    message = "Please give either first or last, not both."
    check_issue(answer, ["last"], "CHOOSE_ONE", params, message=message)


CURSORS = [
    "",
    "x",
    "===",
    "é",
    base64.urlsafe_b64encode(b"{}").decode(),
    base64.urlsafe_b64encode(b"[]").decode(),
    base64.urlsafe_b64encode(b'["church.other", 1]').decode(),
    base64.urlsafe_b64encode(b'["audit"]').decode(),
    base64.urlsafe_b64encode(b'["audit", 5, 6, 7]').decode(),
]


@pytest.mark.parametrize("name", CONNECTIONS)
async def test_broken_cursor_is_refused_at_after(client, owner, name):
    query = f"query Q($after: String) {{ {name}(after: $after) {{ totalCount }} }}"

    for cursor in CURSORS:
        answer = await execute(client, query, {"after": cursor}, **owner)
        check_issue(answer, ["after"], "CURSOR_INVALID", message=NO_CURSOR.format("after"))


async def test_broken_cursor_is_refused_at_before(client, owner):
    for cursor in CURSORS:
        query = f"{{ teams(before: {json.dumps(cursor)}) {{ totalCount }} }}"
        answer = await execute(client, query, **owner)
        check_issue(answer, ["before"], "CURSOR_INVALID", message=NO_CURSOR.format("before"))


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("query Q($t: String) { churches(search: $t) { totalCount } }", ["search"]),
        ("query Q($t: String) { teams(filter: {text: $t}) { totalCount } }", ["filter", "text"]),
        ("mutation M($t: String) {exportTeams(input: {format: CSV, filter: {text: $t}}) {url}}",
         ["input", "filter", "text"]),
        ("query Q($t: ID) { auditLog(filter: {teamId: $t}) { totalCount } }", ["filter", "teamId"]),
        ("query Q($t: ID) {deliveries(filter: {teamId: $t}) { nodes {id}}}", ["filter", "teamId"]),
    ],
)  # fmt: skip
async def test_search_that_is_too_long_is_refused_at_its_filter(client, owner, query, path):
    for length in (201, 2_000):
        answer = await execute(client, query, {"t": "x" * length}, **owner)
        message = f"{path[-1]} has at most 200 characters."
        check_issue(answer, path, "NAME_TOO_LONG", {"max": 200}, message=message)
    answer = await execute(client, query, {"t": "x" * 2_001}, **owner)
    check_issue(answer, path, "NAME_TOO_LONG", {"max": 2_000})
    answer = await execute(client, query, {"t": "x\0"}, **owner)
    check_issue(answer, path, "TEXT_CHARACTERS")
    assert "errors" not in (await execute(client, query, {"t": "x" * 200}, **owner)).json()


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ('{ teams(filter: {churchId: "x"}) { totalCount } }', ["filter", "churchId"]),
        ('{ auditLog(filter: {organiserId: "x"}) { totalCount } }', ["filter", "organiserId"]),
        ('{ auditLog(filter: {organiserId: ""}) { totalCount } }', ["filter", "organiserId"]),
        ('mutation { exportTeams(input: {format: CSV, filter: {churchId: "x"}}) { url } }',
         ["input", "filter", "churchId"]),
        ('{ sessions(organiserId: "x") { id } }', ["organiserId"]),
        ('{ apiTokens(organiserId: "x") { id } }', ["organiserId"]),
        ('mutation { revokeSession(input: {id: "x"}) { __typename } }', ["input", "id"]),
        ('mutation { revokeApiToken(input: {id: ""}) { __typename } }', ["input", "id"]),
        ('mutation { setOrganiserRole(input: {id: "x", role: OWNER}) {__typename} }',
         ["input", "id"]),
    ],
)  # fmt: skip
async def test_id_that_is_none_is_not_found_at_its_argument(client, owner, query, path):
    check_issue(await execute(client, query, **owner), path, "ID_UNKNOWN", error="NOT_FOUND")


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ('(id: "x", code: "ICCT-001")', ["code"]),
        ("", ["id"]),
        ("(id: null)", ["id"]),
        ("(code: null)", ["id"]),
    ],
)
async def test_team_by_id_and_code_or_by_none_is_refused(client, owner, arguments, path):
    answer = await execute(client, f"{{ team{arguments} {{ code }} }}", **owner)

    message = "Please give either the id or the code of the team."
    check_issue(answer, path, "CHOOSE_ONE", {"names": ["id", "code"]}, message=message)


MERGE = "mutation M($input: MergeChurchesInput!) { mergeChurches(input: $input) { teamsMoved } }"
NOBODY = "0" * 32
CHURCH, INTO = ["input", "churchId"], ["input", "intoChurchId"]


async def test_churches_that_cannot_be_merged_are_refused_at_their_ids(client, sql, owner):
    await register(client, 1, churchName="One Church", teamName="Lions")
    await register(client, 2, churchName="Two Church", teamName="LIONS")
    one, two = [
        row["id"].hex for row in await sql.fetch("SELECT id FROM church ORDER BY normalized_name")
    ]
    before = await rows(sql)

    async def merged(church_id, into):
        wanted = {"churchId": church_id, "intoChurchId": into}
        return await execute(client, MERGE, {"input": wanted}, **owner)

    check_issue(await merged(one, one), INTO, "SAME_CHURCH")
    check_issue(await merged(one, one.upper()), INTO, "SAME_CHURCH")
    check_issue(await merged(one, NOBODY), INTO, "ID_UNKNOWN", error="NOT_FOUND")
    check_issue(await merged(NOBODY, two), CHURCH, "ID_UNKNOWN", error="NOT_FOUND")
    check_issue(await merged("x", two), CHURCH, "ID_UNKNOWN", error="NOT_FOUND")
    check_issue(await merged(one, ""), INTO, "ID_UNKNOWN", error="NOT_FOUND")
    both = error_extensions(await merged(NOBODY, "1" * 32))
    assert [issue["path"] for issue in both["issues"]] == [CHURCH, INTO]
    check_issue(
        await merged(one, two),
        CHURCH,
        "DUPLICATE_TEAM_NAME",
        message="Both churches have a live team of the same name. Rename one of them first.",
    )
    assert await rows(sql) == before


INVITE = (
    "mutation I($input: InviteOrganiserInput!) { inviteOrganiser(input: $input) { expiresAt } }"
)


@pytest.mark.parametrize("email", ["{}", " {} ", "{}\n", "\u202a{}\u202c"])
async def test_organiser_who_exists_is_refused_at_the_e_mail(client, sql, owner, email):
    known = await sql.fetchval("SELECT email FROM organiser")
    before = await sql.fetch("SELECT * FROM organiser")

    for text in (email.format(known), email.format(known.upper())):
        answer = await execute(
            client, INVITE, {"input": {"email": text, "role": "VIEWER"}}, **owner
        )
        check_issue(
            answer,
            ["input", "email"],
            "ORGANISER_EXISTS",
            message="There is an organiser with this e-mail already.",
        )

    assert await sql.fetch("SELECT * FROM organiser") == before


REVIEW = """
mutation R($input: ReviewDocumentInput!) { reviewDocument(input: $input) { team { version } } }
"""


@pytest.mark.parametrize("review", ["PENDING", "SUPERSEDED"])
@pytest.mark.parametrize("note", [None, "Blurred.", "", "x" * 501])
async def test_review_that_is_no_verdict_is_refused_at_review(client, sql, reviewer, review, note):
    letter = await upload(client, "PASTOR_LETTER")
    await register(client, 1, documents=[{"kind": "PASTOR_LETTER", "documentId": letter}])
    before = await rows(sql)
    wanted = {"documentId": letter, "expectedVersion": 1, "review": review, "note": note}

    answer = await execute(client, REVIEW, {"input": wanted}, **reviewer)

    allowed = {"allowed": ["ACCEPTED", "REJECTED"]}
    message = "A document is ACCEPTED or REJECTED."
    check_issue(answer, ["input", "review"], "VALUE_NOT_ALLOWED", allowed, message=message)
    assert await rows(sql) == before


@pytest.mark.parametrize("document_id", [NOBODY, "x", ""])
async def test_unknown_document_is_not_found_at_its_review(client, sql, reviewer, document_id):
    await register(client, 1)
    before = await rows(sql)
    wanted = {"documentId": document_id, "expectedVersion": 1, "review": "ACCEPTED"}

    answer = await execute(client, REVIEW, {"input": wanted}, **reviewer)

    check_issue(answer, ["input", "documentId"], "ID_UNKNOWN", error="NOT_FOUND")
    assert await rows(sql) == before


REQUEST = """
mutation R($input: RequestChangesInput!) { requestChanges(input: $input) { team { version } } }
"""


@pytest.mark.parametrize("document_id", [NOBODY, "x", ""])
@pytest.mark.parametrize("place", [0, 2])
async def test_unknown_document_is_not_found_at_its_item(client, sql, reviewer, document_id, place):
    await register(client, 1)
    before = await rows(sql)
    items = [{"note": "Please sign it."} for _ in range(3)]
    items[place]["documentId"] = document_id
    wanted = {"teamId": "ICCT-001", "expectedVersion": 1, "items": items}

    answer = await execute(client, REQUEST, {"input": wanted}, **reviewer)

    path = ["input", "items", place, "documentId"]
    check_issue(answer, path, "ID_UNKNOWN", error="NOT_FOUND")
    assert await rows(sql) == before


@pytest.mark.parametrize(
    ("key", "code", "params"),
    [
        ("short", "IDEMPOTENCY_KEY_INVALID", {"min": 8, "max": 255}),
        ("", "IDEMPOTENCY_KEY_INVALID", {"min": 8, "max": 255}),
        ("x" * 256, "IDEMPOTENCY_KEY_INVALID", {"min": 8, "max": 255}),
        ("schlüssel", "IDEMPOTENCY_KEY_INVALID", {"min": 8, "max": 255}),
        ("a key\nof mine", "IDEMPOTENCY_KEY_INVALID", {"min": 8, "max": 255}),
    ],
)
async def test_idempotency_key_that_is_none_is_refused_at_its_place(client, sql, key, code, params):
    answer = await execute(
        client, factories.REGISTER, {"input": factories.team(1, idempotencyKey=key)}
    )

    check_issue(answer, ["input", "idempotencyKey"], code, params)
    assert await sql.fetchval("SELECT count(*) FROM team") == 0


async def test_two_idempotency_keys_are_refused_at_that_of_the_form(client, sql):
    form = factories.team(1, idempotencyKey="the first key")

    answer = await execute(
        client, factories.REGISTER, {"input": form}, Idempotency_Key="the second key"
    )

    check_issue(answer, ["input", "idempotencyKey"], "IDEMPOTENCY_KEYS_DIFFER")
    assert await sql.fetchval("SELECT count(*) FROM team") == 0


async def test_second_factor_that_is_on_is_refused_at_the_input(client, sql, owner):
    await sql.execute("UPDATE organiser SET totp_confirmed_at = now(), totp_salt = '\\x00'")
    query = "mutation E($input: EnableTotpInput!) { enableTotp(input: $input) { __typename } }"

    answer = await execute(client, query, {"input": {"password": PASSWORD}}, **owner)

    check_issue(answer, ["input"], "SECOND_FACTOR_ON")


@pytest.mark.parametrize(
    ("variables", "path", "code"),
    [
        ({}, ["input"], "VALUE_REQUIRED"),
        ({"input": None}, ["input"], "VALUE_REQUIRED"),
        ({"input": 5}, ["input"], "VALUE_INVALID"),
        ({"input": {"teamName": 5}}, ["input", "teamName"], "VALUE_INVALID"),
        ({"input": {"captain": "A"}}, ["input", "captain"], "VALUE_INVALID"),
        ({"input": {"colour": "red"}}, ["input"], "VALUE_INVALID"),
        ({"input": {"players": [{}, []]}}, ["input", "players", 1], "VALUE_INVALID"),
        (
            {"input": {"documents": [{"kind": "LETTER", "documentId": ""}]}},
            ["input", "documents", 0, "kind"],
            "VALUE_INVALID",
        ),
    ],
)
async def test_variable_of_another_type_is_refused_at_its_place(client, variables, path, code):
    # The first is answered by graphql-core, the second where the operation is known.
    for _ in range(2):
        check_issue(await execute(client, factories.REGISTER, variables), path, code)


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({}, "teamId"),
        ({}, "expectedVersion"),
        ({"teamId": "ICCT-001"}, "expectedVersion"),
        ({"expectedVersion": 1}, "teamId"),
    ],
)
async def test_reference_that_is_left_out_of_a_variable_is_named(client, owner, value, field):
    query = "mutation E($input: EraseTeamInput!) { eraseTeam(input: $input) { code } }"

    body = (await execute(client, query, {"input": value}, **owner)).json()

    check_envelope(body)
    issues = [issue for error in body["errors"] for issue in error["extensions"]["issues"]]
    assert {"path": ["input", field], "code": "VALUE_REQUIRED"} in [
        {"path": issue["path"], "code": issue["code"]} for issue in issues
    ]


LITERAL_FORM = """{
  validateTeam(input: {
    churchName: null
    captain: {name: "Anand", phone: 5}, viceCaptain: "Raj"
    players: [{name: "Raj"}, {role: BOWLER}, {name: 7, colour: "red"}]
    documents: [{kind: LETTER, documentId: "x"}]
  }) { isValid }
}"""


async def test_literals_of_a_form_that_do_not_fit_are_named_all_at_once(client):
    body = (await execute(client, LITERAL_FORM)).json()

    check_envelope(body)
    assert {error["extensions"]["code"] for error in body["errors"]} == {
        "GRAPHQL_VALIDATION_FAILED"
    }
    issues = [issue for error in body["errors"] for issue in error["extensions"]["issues"]]
    assert sorted((issue["pointer"], issue["code"]) for issue in issues) == [
        ("/input/captain/email", "VALUE_REQUIRED"),
        ("/input/churchName", "VALUE_REQUIRED"),
        ("/input/documents/0/kind", "VALUE_INVALID"),
        ("/input/players/1/name", "VALUE_REQUIRED"),
        ("/input/players/2/colour", "VALUE_INVALID"),
        ("/input/players/2/name", "VALUE_INVALID"),
        ("/input/teamName", "VALUE_REQUIRED"),
        ("/input/viceCaptain", "VALUE_INVALID"),
    ]


@pytest.mark.parametrize(
    ("query", "path", "code"),
    [
        ("mutation { registerTeam { replayed } }", ["input"], "VALUE_REQUIRED"),
        ("mutation { updateMyTeam(input: null) { team { id } } }", ["input"], "VALUE_REQUIRED"),
        ("mutation { updateMyTeam(input: {}) { team { id } } }", ["input", "expectedVersion"],
         "VALUE_REQUIRED"),
        ("{ player { id } }", ["code"], "VALUE_REQUIRED"),
        ("{ churches(first: true) { totalCount } }", ["first"], "VALUE_INVALID"),
        ('{ churches(first: "5") { totalCount } }', ["first"], "VALUE_INVALID"),
        ("{ churches(first: 99999999999) { totalCount } }", ["first"], "VALUE_INVALID"),
        ("{ teams(filter: {status: [PENDING, LOST]}) { totalCount } }", ["filter", "status", 1],
         "VALUE_INVALID"),
        ('{ teams(filter: {status: "PENDING"}) { totalCount } }', ["filter", "status"],
         "VALUE_INVALID"),
        ("{ teams(orderBy: {}) { totalCount } }", ["orderBy", "field"], "VALUE_REQUIRED"),
        ("{ a: churches(first: 1) { totalCount } b: churches(search: 1) { totalCount } }",
         ["search"], "VALUE_INVALID"),
    ],
)  # fmt: skip
async def test_literal_that_does_not_fit_is_named(client, owner, query, path, code):
    answer = await execute(client, query, **owner)

    check_issue(answer, path, code, error="GRAPHQL_VALIDATION_FAILED")


@pytest.mark.parametrize(
    "query",
    [
        "{ tournament { nothing } }",
        "{ tournament(id: 1) { name } }",
        "query Q($n: Int) { player(code: $n) { id } }",
        "{ ...Nothing }",
        "query Q($n: Int = {}) { churches(first: $n) { totalCount } }",
    ],
)
async def test_document_that_is_wrong_elsewhere_has_no_issue(client, query):
    answer = await execute(client, query)

    extensions = error_extensions(answer)
    assert (extensions["code"], extensions["issues"]) == ("GRAPHQL_VALIDATION_FAILED", [])


async def test_variable_that_is_null_for_an_argument_is_refused_at_the_argument(client):
    query = 'query Q($code: String = "ICCT-001-P01") { player(code: $code) { id } }'

    answer = await execute(client, query, {"code": None})

    check_issue(answer, ["code"], "VALUE_REQUIRED")


def test_places_of_literals_count_items_and_name_fields():
    text = """query Q($a: Int = 3, $b: [I] = [{x: 1}]) {
      f: g(in: {a: 1 # n: 5
        , l: [{n: "x"} {n: $a, q: [1 2, $b [5]]}], e: C, "z"}, last: 9) { h(x: 2) }
    }""".replace(', "z"', "")
    document = parse(text)
    field = document.definitions[0].selection_set.selections[0]
    value = field.arguments[0].value
    items = value.fields[1].value
    numbers = items.values[1].fields[1].value

    assert literal_path(value) == ("in",)
    assert literal_path(value.fields[0].value) == ("in", "a")
    assert literal_path(items.values[0].fields[0].value) == ("in", "l", 0, "n")
    assert literal_path(items.values[1].fields[0].value) == ("in", "l", 1, "n")
    assert [literal_path(one) for one in numbers.values] == [
        ("in", "l", 1, "q", place) for place in range(4)
    ]
    assert literal_path(numbers.values[3].values[0]) == ("in", "l", 1, "q", 3, 0)
    assert literal_path(value.fields[2].value) == ("in", "e")
    assert literal_path(field.arguments[1].value) == ("last",)
    assert literal_path(field.selection_set.selections[0].arguments[0].value) == ("x",)
    assert [
        literal_path(one.default_value) for one in document.definitions[0].variable_definitions
    ] == [
        (),
        (),
    ]


async def test_answers_without_errors_stay_as_they_are(client):
    report = data(await execute(client, factories.VALIDATE, {"input": factories.team(1)}))[
        "validateTeam"
    ]

    assert report["issues"] == []
