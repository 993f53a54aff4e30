"""GraphQL over HTTP: media types, methods, bodies."""

import json

import pytest

from tests import factories
from tests.graphql_client import GRAPHQL_TYPE, data, error_extensions, execute

JSON_TYPE = "application/json"
TOURNAMENT = "{ tournament { name } }"
NAMED = {"tournament": {"name": "ICCT26 Cricket Tournament"}}
# What a client may accept, and what it is then sent.
ACCEPTED = {
    "*/*": JSON_TYPE,
    "application/*": JSON_TYPE,
    JSON_TYPE: JSON_TYPE,
    GRAPHQL_TYPE: GRAPHQL_TYPE,
    f"{GRAPHQL_TYPE}; charset=utf-8, {JSON_TYPE}; q=0.9": GRAPHQL_TYPE,
    f"{GRAPHQL_TYPE};q=0.1, {JSON_TYPE};q=0.2": JSON_TYPE,
    f"{GRAPHQL_TYPE}, {JSON_TYPE}": GRAPHQL_TYPE,
    f"{JSON_TYPE};q=0, {GRAPHQL_TYPE};q=0.5": GRAPHQL_TYPE,
    f"{GRAPHQL_TYPE};q=0, */*": JSON_TYPE,
    f"{JSON_TYPE};q=0, */*": GRAPHQL_TYPE,
    f"{JSON_TYPE};q=0, application/*;q=0.1": GRAPHQL_TYPE,
    f"{JSON_TYPE};q=0.2, application/*;q=0.7, */*;q=0": GRAPHQL_TYPE,
    f"*/*;q=0.9, {GRAPHQL_TYPE};q=0.5": JSON_TYPE,
    f"{GRAPHQL_TYPE},{JSON_TYPE};q=0.9": GRAPHQL_TYPE,
    "text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8": JSON_TYPE,
    "APPLICATION/JSON; Q=1.0": JSON_TYPE,
    "": JSON_TYPE,
}
UNACCEPTABLE = (
    "text/html",
    "text/*, image/png",
    "application/json;q=0",
    f"{JSON_TYPE};q=0, {GRAPHQL_TYPE};q=0",
    "*/*;q=0",
)


@pytest.mark.parametrize(("accept", "media_type"), ACCEPTED.items())
async def test_an_answer_has_a_media_type_that_the_client_accepts(client, accept, media_type):
    answer = await execute(client, TOURNAMENT, Accept=accept)

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == f"{media_type}; charset=utf-8"
    assert data(answer) == NAMED


REFUSALS = {
    "ended bearer": (
        "POST",
        {"json": {"query": TOURNAMENT}, "headers": {"Authorization": "Bearer ended"}},
        (401, "UNAUTHENTICATED"),
    ),
    "unknown operationName": (
        "POST",
        {"json": {"query": TOURNAMENT, "operationName": "x"}},
        (400, "BAD_USER_INPUT"),
    ),
    "batch": ("POST", {"json": [{"query": TOURNAMENT}]}, (400, "BAD_USER_INPUT")),
    "malformed body": (
        "POST",
        {"content": b"{", "headers": {"Content-Type": JSON_TYPE}},
        (400, "BAD_USER_INPUT"),
    ),
    "syntax error": ("POST", {"json": {"query": "{"}}, (400, "GRAPHQL_PARSE_FAILED")),
    "unknown hash": (
        "POST",
        {"json": {"extensions": {"persistedQuery": {"sha256Hash": "0"}}}},
        (400, "PERSISTED_QUERY_NOT_SUPPORTED"),
    ),
    "other method": ("DELETE", {}, (405, "METHOD_NOT_ALLOWED")),
    "mutation by GET": (
        "GET",
        {"params": {"query": "mutation { signOut(input: {}) { organiser { id } } }"}},
        (405, "METHOD_NOT_ALLOWED"),
    ),
    "large body": ("POST", {"content": b"x" * 300_000}, (413, "BODY_TOO_LARGE")),
    "other content type": ("POST", {"content": b"{}"}, (415, "UNSUPPORTED_MEDIA_TYPE")),
    "other host": (
        "POST",
        {"json": {"query": TOURNAMENT}, "headers": {"Host": "else.example"}},
        (400, "BAD_USER_INPUT"),
    ),
}


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("media_type", [JSON_TYPE, GRAPHQL_TYPE])
async def test_refusal_has_the_media_type_that_the_client_prefers(client, refusal, media_type):
    method, sent, expected = REFUSALS[refusal]
    other = {JSON_TYPE: GRAPHQL_TYPE, GRAPHQL_TYPE: JSON_TYPE}[media_type]
    headers = {"Accept": f"{media_type}, {other};q=0.9"} | sent.get("headers", {})

    answer = await client.request(method, "/graphql", **(sent | {"headers": headers}))

    assert answer.headers["Content-Type"] == f"{media_type}; charset=utf-8"
    assert answer.headers["Vary"].split(", ").count("Accept") == 1
    assert error_extensions(answer)["code"] == expected[1]
    if media_type == GRAPHQL_TYPE:
        assert answer.status_code == expected[0]


async def test_data_varies_by_accept_once(client):
    answer = await execute(client, TOURNAMENT, Accept=GRAPHQL_TYPE)

    assert answer.headers["Vary"].split(", ").count("Accept") == 1


@pytest.mark.parametrize("batch", [[], [{"query": TOURNAMENT}], [[]], [1, 2]], ids=json.dumps)
async def test_batch_is_refused_as_a_batch(client, batch):
    answer = await client.post("/graphql", json=batch)

    assert (answer.status_code, error_extensions(answer)["code"]) == (400, "BAD_USER_INPUT")
    assert answer.json()["errors"][0]["message"] == (
        "Batches are not supported: send one operation for each request."
    )


@pytest.mark.parametrize("accept", UNACCEPTABLE)
async def test_nothing_runs_for_who_accepts_no_answer(client, sql, accept):
    answer = await execute(client, factories.REGISTER, {"input": factories.team()}, Accept=accept)

    assert (answer.status_code, error_extensions(answer)["code"]) == (406, "NOT_ACCEPTABLE")
    assert await sql.fetchval("SELECT count(*) FROM team") == 0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "application/json; charset=utf-8"}, 200),
        ({"Content-Type": 'application/json;charset="UTF-8"'}, 200),
        ({"Content-Type": "application/json", "Content-Encoding": "identity"}, 200),
        ({"Content-Type": "application/json; charset=utf-16"}, 415),
        ({"Content-Type": "application/json; charset=latin1"}, 415),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, 415),
        ({"Content-Type": "application/json", "Content-Encoding": "br"}, 415),
    ],
    ids=str,
)
async def test_a_body_is_json_in_utf_8_as_it_is(client, headers, status):
    body = json.dumps({"query": TOURNAMENT})

    answer = await client.post("/graphql", content=body, headers=headers)

    assert answer.status_code == status
    if status != 200:
        assert error_extensions(answer)["code"] == "UNSUPPORTED_MEDIA_TYPE"


@pytest.mark.parametrize(
    ("query", "variables", "statuses", "body_has_data"),
    [
        (TOURNAMENT, None, (200, 200), True),
        ("{ tournament", None, (200, 400), False),
        ("{ nothing }", None, (200, 400), False),
        ("query ($n: Int!) { churches(first: $n) { totalCount } }", {}, (200, 400), False),
        ("{ churches(first: 0) { totalCount } }", None, (200, 400), True),
        (factories.REGISTER, {"input": factories.team(players=[])}, (200, 200), True),
    ],
)
async def test_the_status_follows_the_media_type(client, query, variables, statuses, body_has_data):
    for accept, status in zip((JSON_TYPE, GRAPHQL_TYPE), statuses, strict=True):
        answer = await execute(client, query, variables, Accept=accept)

        assert answer.status_code == status
        assert ("data" in answer.json()) is body_has_data


async def test_null_as_a_whole_is_told_from_a_field_that_is_null(client):
    whole = await execute(client, "{ churches(first: 0) { totalCount } }")
    field = await execute(client, factories.REGISTER, {"input": factories.team(players=[])})

    assert whole.json()["data"] is None
    assert whole.json()["errors"][0]["path"] == ["churches"]
    assert field.json()["data"] == {"registerTeam": None}
    assert field.json()["errors"][0]["locations"] == [{"line": 3, "column": 3}]


async def test_queries_may_be_sent_in_the_address(client):
    parameters = {
        "query": "query A($n: Int) { churches(first: $n) { totalCount } } query B { tournament"
        " { name } }",
        "variables": '{"n": 1}',
        "operationName": "B",
        "extensions": "",
    }

    answer = await client.get("/graphql", params=parameters)
    head = await client.head("/graphql", params=parameters)

    assert (answer.status_code, data(answer)) == (200, NAMED)
    assert head.status_code == 200
    assert head.headers["Content-Length"] == answer.headers["Content-Length"]


async def test_mutations_may_not_be_sent_in_the_address(client, sql):
    mutation = 'mutation { registerTeam(input: {teamName: "x"}) { replayed } }'

    answer = await client.get("/graphql", params={"query": mutation})
    head = await client.head("/graphql", params={"query": mutation})

    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    assert (head.status_code, head.headers["Allow"]) == (405, "POST")
    assert error_extensions(answer)["code"] == "METHOD_NOT_ALLOWED"
    assert await sql.fetchval("SELECT count(*) FROM team") == 0


async def test_another_operation_of_the_document_may_be_a_mutation(client):
    document = TOURNAMENT.replace("{", "query Q {", 1) + factories.REGISTER
    chosen = {"query": document, "operationName": "Q"}

    assert data(await client.get("/graphql", params=chosen)) == NAMED
    answer = await client.get("/graphql", params=chosen | {"operationName": "Register"})
    assert answer.status_code == 405


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_other_methods_are_refused(client, method):
    answer = await client.request(method, "/graphql")

    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD, POST")
    assert error_extensions(answer)["code"] == "METHOD_NOT_ALLOWED"


@pytest.mark.parametrize(
    "content_type",
    "text/plain application/graphql application/x-www-form-urlencoded multipart/form-data".split(),
)
async def test_only_json_is_taken(client, content_type):
    answer = await client.post(
        "/graphql",
        content=json.dumps({"query": TOURNAMENT}),
        headers={"Content-Type": content_type},
    )

    assert (answer.status_code, error_extensions(answer)["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize(
    "content_type", [JSON_TYPE, "Application/JSON", f"{JSON_TYPE}; charset=utf-8"]
)
async def test_json_is_taken_however_it_is_called(client, content_type):
    answer = await client.post(
        "/graphql",
        content=json.dumps({"query": TOURNAMENT}),
        headers={"Content-Type": content_type},
    )

    assert data(answer) == NAMED


BODIES = {
    "nothing": b"",
    "half an object": b'{"query": "{ tournament { name } }"',
    "no JSON": b"query",
    "a text": b'"query"',
    "a number": b"1",
    "null": b"null",
    "a list": b'[{"query": "{ tournament { name } }"}]',
    "no UTF-8": b'{"query": "\xff\xfe{ tournament { name } }"}',
    "NaN": b'{"query": "{ tournament { name } }", "variables": {"a": NaN}}',
    "Infinity": b'{"query": "{ tournament { name } }", "variables": {"a": -Infinity}}',
    "lists 10,000 deep": b"[" * 10_000 + b"]" * 10_000,
    "objects 10,000 deep": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "a number of 10,000 digits": b'{"query": "{ x }", "variables": {"a": ' + b"9" * 10_000 + b"}}",
    "no query": b"{}",
    "null as query": b'{"query": null}',
    "empty query": b'{"query": " "}',
    "a number as query": b'{"query": 1}',
    "a list as variables": b'{"query": "{ tournament { name } }", "variables": []}',
    "a text as variables": b'{"query": "{ tournament { name } }", "variables": "{}"}',
    "a number as operationName": b'{"query": "{ tournament { name } }", "operationName": 1}',
    "an unknown operationName": b'{"query": "{ tournament { name } }", "operationName": "x"}',
    "a list as extensions": b'{"query": "{ tournament { name } }", "extensions": []}',
}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("accept", [JSON_TYPE, GRAPHQL_TYPE])
async def test_what_is_no_request_is_a_bad_request(client, body, accept):
    answer = await client.post(
        "/graphql",
        content=BODIES[body],
        headers={"Content-Type": JSON_TYPE, "Accept": accept},
    )

    assert (answer.status_code, error_extensions(answer)["code"]) == (400, "BAD_USER_INPUT")
    assert "data" not in answer.json()


@pytest.mark.parametrize("name", ["variables", "extensions"])
@pytest.mark.parametrize("value", ["{", "[]", "1", "[" * 5_000])
async def test_what_is_no_object_in_the_address_is_a_bad_request(client, name, value):
    answer = await client.get("/graphql", params={"query": TOURNAMENT, name: value})

    assert (answer.status_code, error_extensions(answer)["code"]) == (400, "BAD_USER_INPUT")
    assert name in answer.json()["errors"][0]["message"]


async def test_a_query_with_a_hash_is_a_query(client):
    extensions = {"persistedQuery": {"version": 1, "sha256Hash": "0"}}

    answer = await client.post("/graphql", json={"query": TOURNAMENT, "extensions": extensions})

    assert data(answer) == NAMED


@pytest.mark.parametrize("name", ["\ud800", "Anand \udfff Kumar", "Anand\0Kumar", "\0\0\0"])
async def test_half_a_character_and_nul_are_issues_of_the_name(client, name):
    team = factories.team(teamName=name, churchName=name, captain=factories.person(name=name))
    team["players"][3]["name"] = name

    issues = error_extensions(await execute(client, factories.REGISTER, {"input": team}))["issues"]

    assert [(issue["pointer"], issue["code"]) for issue in issues] == [
        ("/input/teamName", "NAME_CHARACTERS"),
        ("/input/churchName", "NAME_CHARACTERS"),
        ("/input/captain/name", "NAME_CHARACTERS"),
        ("/input/players/3/name", "NAME_CHARACTERS"),
    ]


@pytest.mark.parametrize(
    "value", ["\ud800", "\0", 2**80, 1e300, -0.0, True, [], {}, [[{"a": []}]], {"a": 1}]
)
async def test_leaves_of_any_kind_are_issues(client, value):
    team = factories.team(captain=factories.person(phone=value, email=value, whatsapp=value))
    team["players"][0] |= {"role": value, "dateOfBirth": value}

    issues = error_extensions(await execute(client, factories.REGISTER, {"input": team}))["issues"]

    assert [(issue["pointer"], issue["code"]) for issue in issues] == [
        ("/input/captain/phone", "PHONE_INVALID"),
        ("/input/captain/whatsapp", "PHONE_INVALID"),
        ("/input/captain/email", "EMAIL_INVALID"),
        ("/input/players/0/role", "ROLE_UNKNOWN"),
        ("/input/players/0/dateOfBirth", "DATE_INVALID"),
    ]


async def test_leaves_may_be_written_into_the_document(client):
    query = """
    query ($phone: PhoneNumber!) { validateTeam(input: {
      teamName: "Warriors" churchName: "CSI Zion"
      captain: {name: "Anand", phone: [$phone, {a: 1}], email: BOWLER}
      viceCaptain: {name: "Benny", phone: 1.5, email: true}
      players: [{name: "Charles", role: BOWLER, jerseyNumber: 7, dateOfBirth: null}]
    }) { issues { pointer code } } }
    """

    found = data(await execute(client, query, {"phone": "+919000000000"}))

    assert found["validateTeam"]["issues"] == [
        {"pointer": "/input/captain/phone", "code": "PHONE_INVALID"},
        {"pointer": "/input/captain/email", "code": "EMAIL_INVALID"},
        {"pointer": "/input/viceCaptain/phone", "code": "PHONE_INVALID"},
        {"pointer": "/input/viceCaptain/email", "code": "EMAIL_INVALID"},
        {"pointer": "/input/players", "code": "SQUAD_TOO_SMALL"},
    ]


@pytest.mark.parametrize(
    ("header", "argument", "replayed"),
    [("12345678", None, True), (None, "12345678", True), ("12345678", "12345678", True),
     (None, None, None)],
)  # fmt: skip
async def test_a_key_may_come_as_header_or_argument(client, header, argument, replayed):
    # The key is no part of the form: header and argument stand for the same registration.
    team = factories.team(idempotencyKey=argument)
    headers = {"Idempotency_Key": header} if header else {}

    answers = [
        await execute(client, factories.REGISTER, {"input": team}, **headers) for _ in range(2)
    ]

    assert data(answers[0])["registerTeam"]["replayed"] is False
    if replayed:
        assert data(answers[1])["registerTeam"]["replayed"] is True
    else:
        assert error_extensions(answers[1])["code"] == "VALIDATION_FAILED"


async def test_a_header_and_an_argument_that_differ_are_refused(client, sql):
    team = factories.team(idempotencyKey="12345678")

    answer = await execute(client, factories.REGISTER, {"input": team}, Idempotency_Key="87654321")

    assert error_extensions(answer)["code"] == "BAD_USER_INPUT"
    assert await sql.fetchval("SELECT count(*) FROM team") == 0


@pytest.mark.parametrize("query", ["{ tournament", "{ churches(first: 0) { totalCount } }", ""])
async def test_the_request_id_of_the_caller_is_in_the_answer(client, query):
    answer = await execute(client, query, X_Request_ID="request-of-the-test")

    assert answer.headers["X-Request-ID"] == "request-of-the-test"
    assert error_extensions(answer)["requestId"] == "request-of-the-test"


async def test_one_document_is_answered_the_same_each_time(client):
    answers = [(await execute(client, query)).json() for query in (TOURNAMENT, "{ x }") * 3]

    assert answers[0] == answers[2] == answers[4] == {"data": NAMED}
    for answer in (answers[1], answers[3], answers[5]):
        assert answer["errors"][0]["message"] == "Cannot query field 'x' on type 'Query'."
