"""Texts from clients: unstorable, too long, or with invisible characters."""

import json
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    is_input_type,
)

from domain.auth.roles import Role
from domain.characters import NFKC_MAX_LENGTH
from schema import schema
from schema.compiled.codegen import DEFINITION
from schema.limits.text_rules import MAX_TEXT_LENGTH, TEXT_RULE, TextRule
from tests import factories
from tests.accounts import bearer_headers
from tests.graphql_client import data, error_extensions, execute
from tests.schema.executions import executions
from tests.schema.teams.test_decisions import DECISIONS, decide, everything, register

CORE = schema._schema
UNSTORABLE = ("a\0b", "\ud800", "half \udfff", "\0", "x" * 499 + "\ud83c")
MARKS = "a" + "\u0301\u0316" * 12_000
SIMPLE: dict[str, Any] = {
    "Int": 1,
    "Boolean": False,
    "String": "x",
    "ID": "0" * 32,
    "DateTime": "2027-01-31T00:00:00Z",
}
VALIDATE_LITERALLY = r"""{ validateTeam(input: {
  idempotencyKey: "\u0000", teamName: "x", churchName: "x", players: [],
  captain: {name: "x", phone: 1, email: 1}, viceCaptain: {name: "x", phone: 1, email: 1}
}) { isValid } }"""
Steps = tuple[str | int, ...]


@dataclass(frozen=True)
class Position:
    """A leaf of a root field's arguments that takes a text. `path` begins with the argument."""

    operation: str
    field: str
    path: Steps
    rule: TextRule | None

    def __str__(self) -> str:
        return ".".join(map(str, (self.field, *self.path)))


def positions() -> Iterator[Position]:
    for kind in (CORE.query_type, CORE.mutation_type):
        operation = "query" if kind is CORE.query_type else "mutation"
        for name, field in kind.fields.items():
            for argument, definition in field.args.items():
                for path, rule in texts_in(definition.type, None):
                    yield Position(operation, name, (argument, *path), rule)


def texts_in(
    kind: GraphQLInputType, rule: TextRule | None
) -> Iterator[tuple[Steps, TextRule | None]]:
    if isinstance(kind, GraphQLNonNull):
        yield from texts_in(kind.of_type, rule)
    elif isinstance(kind, GraphQLList):
        yield from (((0, *path), inner) for path, inner in texts_in(kind.of_type, rule))
    elif isinstance(kind, GraphQLInputObjectType):
        for name, field in kind.fields.items():
            metadata = field.extensions[DEFINITION].metadata or {}
            inner = texts_in(field.type, metadata.get(TEXT_RULE))
            yield from (((name, *path), below) for path, below in inner)
    elif kind.name in {"String", "ID"}:
        yield (), rule


def value(kind: GraphQLInputType, path: Steps, text: str) -> Any:
    """Return a minimal value of the type with the text at this path."""
    if isinstance(kind, GraphQLNonNull):
        return value(kind.of_type, path, text)
    if isinstance(kind, GraphQLList):
        return [value(kind.of_type, path[1:], text)]
    if isinstance(kind, GraphQLEnumType):
        return "REJECTED" if "REJECTED" in kind.values else next(iter(kind.values))
    if isinstance(kind, GraphQLInputObjectType):
        return {
            name: value(field.type, path[1:] if path[:1] == (name,) else (None,), text)
            for name, field in kind.fields.items()
            if isinstance(field.type, GraphQLNonNull) or path[:1] == (name,)
        }
    return text if not path else SIMPLE.get(kind.name, "x")


def asked(position: Position, text: str) -> tuple[str, dict[str, Any]]:
    """Return the operation with the text at the position and each argument as a variable."""
    root = CORE.query_type if position.operation == "query" else CORE.mutation_type
    field = root.fields[position.field]
    given = {
        name: definition.type
        for name, definition in field.args.items()
        if name == position.path[0] or isinstance(definition.type, GraphQLNonNull)
    }
    declared = ", ".join(f"${name}: {kind}" for name, kind in given.items())
    passed = ", ".join(f"{name}: ${name}" for name in given)
    query = (
        f"{position.operation} Texts({declared}) {{ {position.field}({passed}) {{ __typename }} }}"
    )
    variables = {
        name: value(kind, position.path[1:] if name == position.path[0] else (None,), text)
        for name, kind in given.items()
    }
    return query, variables


ALL = list(positions())
CHECKED = [item for item in ALL if item.rule is not TextRule.FORM]
REASONS = [entry for entry in ALL if entry.rule is TextRule.REASON]


def test_texts_are_only_arguments_of_root_fields():
    for kind in CORE.type_map.values():
        if isinstance(kind, GraphQLObjectType) and kind not in {
            CORE.query_type,
            CORE.mutation_type,
        }:
            for field in kind.fields.values():
                assert all(
                    is_input_type(arg.type) and not list(texts_in(arg.type, None))
                    for arg in field.args.values()
                )


def test_only_form_fields_are_exempt_from_text_rules():
    assert {str(position) for position in ALL if position.rule is TextRule.FORM} == {
        *(
            f"{field}.input.{leaf}"
            for field in ("registerTeam", "validateTeam")
            for leaf in (
                "teamName",
                "churchName",
                "captain.name",
                "viceCaptain.name",
                "players.0.name",
                "players.0.documents.0.documentId",
                "documents.0.documentId",
                "consentVersion",
                "locale",
            )
        ),
        *(
            f"updateMyTeam.input.{leaf}"
            for leaf in (
                "teamName",
                "captain.name",
                "viceCaptain.name",
                "players.0.name",
                "players.0.documents.0.documentId",
                "documents.0.documentId",
            )
        ),
        "resubmitMyTeam.input.documents.0.documentId",
        "resubmitMyTeam.input.players.0.documents.0.documentId",
        "updateTeam.input.teamName",
        "updateTeam.input.churchName",
        "updateTeam.input.captain.name",
        "updateTeam.input.viceCaptain.name",
        "updatePlayer.input.name",
        "addPlayer.input.player.name",
        "addPlayer.input.player.documents.0.documentId",
    }


def test_reasons_and_notes_have_their_own_length_rule():
    assert {str(reason) for reason in REASONS} == {
        "withdrawMyTeam.input.reason",
        "reviewDocument.input.note",
        "requestChanges.input.items.0.note",
        "confirmTeam.input.overrideReason",
        "confirmTeams.input.overrideReason",
        *(
            f"{field}.input.reason"
            for field in (
                "rejectTeam rejectTeams reopenTeam withdrawTeam updateTeam updatePlayer addPlayer"
                " removePlayer reissueManageToken"
            ).split()
        ),
    }


@pytest.fixture
async def owner(services) -> dict[str, str]:
    return await bearer_headers(services, Role.OWNER)


async def test_text_that_cannot_be_stored_is_refused_at_its_path(client, sql, owner):
    before = await everything(sql)

    for number, position in enumerate(CHECKED):
        query, variables = asked(position, UNSTORABLE[number % len(UNSTORABLE)])
        answer = await execute(client, query, variables, **owner)

        refusal, (error,) = error_extensions(answer), answer.json()["errors"]
        assert refusal["code"] == "BAD_USER_INPUT", position
        assert refusal["details"] == {"path": list(position.path)}
        assert "cannot be stored" in error["message"]
        assert error["path"] == [position.field]

    assert await everything(sql) == before


async def test_text_above_the_maximum_is_refused_at_its_path(client, sql, owner):
    before, texts = await everything(sql), ("x" * (MAX_TEXT_LENGTH + 1), MARKS, " " * 240_000)

    for number, position in enumerate(item for item in CHECKED if item.rule is None):
        query, variables = asked(position, texts[number % len(texts)])
        refusal = error_extensions(await execute(client, query, variables, **owner))

        assert refusal["code"] == "BAD_USER_INPUT", position
        assert refusal["details"] == {"path": list(position.path), "max": MAX_TEXT_LENGTH}

    assert await everything(sql) == before


@pytest.mark.parametrize(
    "text",
    ["x" * 501, "x" + " " * 240_000, " " * 240_000, MARKS, "\u200b" * 2001],
    ids=["letters", "blanks after a letter", "blanks", "marks", "invisible"],
)
async def test_reason_longer_than_its_rule_is_an_issue_at_its_path(client, sql, owner, text):
    await register(client, 0)
    before = await everything(sql)

    for position in REASONS:
        if position.field == "withdrawMyTeam":
            continue
        query, variables = asked(position, text)
        given = variables["input"]
        for name, reference in (("teamId", "ICCT-001"), ("playerId", "ICCT-001-P01")):
            if name in given:
                given[name] = reference
        issues = error_extensions(await execute(client, query, variables, **owner))["issues"]
        (issue,) = (issue for issue in issues if issue["path"] == list(position.path))

        assert (issue["path"], issue["code"]) == (list(position.path), "NAME_TOO_LONG")
        assert issue["params"] == {"max": 500}

    assert await everything(sql) == before


async def test_reason_is_measured_as_it_is_stored(client, sql):
    team = data(await execute(client, factories.REGISTER, {"input": factories.team()}))[
        "registerTeam"
    ]
    query = "mutation ($i: WithdrawMyTeamInput!) { withdrawMyTeam(input: $i) { team { status } } }"
    wanted = {"token": team["manageToken"], "expectedVersion": 1}
    before = await everything(sql)

    for reason in ("x" + " " * 240_000, "x" * 501, " " * 20, "\u3164", "a\0b", MARKS):
        refusal = error_extensions(await execute(client, query, {"i": wanted | {"reason": reason}}))
        assert refusal["code"] in {"VALIDATION_FAILED", "BAD_USER_INPUT"}
    assert await everything(sql) == before

    data(await execute(client, query, {"i": wanted | {"reason": f"{' ' * 900}Injured.\n"}}))
    assert await sql.fetchval("SELECT reason FROM decision") == "Injured."


@pytest.mark.parametrize("text", UNSTORABLE)
async def test_compiled_operation_refuses_as_the_interpreted_one(client, text):
    query = "query Search($search: String) { churches(search: $search) { totalCount } }"
    for _ in range(2):
        data(await execute(client, query, {"search": "Zion"}))
    compiled = executions("compiled")

    answer = await execute(client, query, {"search": text})

    assert error_extensions(answer)["details"] == {"path": ["search"]}
    assert executions("compiled") == compiled
    data(await execute(client, query, {"search": "Zion"}))
    assert executions("compiled") == compiled + 1


@pytest.mark.parametrize(
    "query",
    [
        r'{ churches(search: "a\u0000b") { totalCount } }',
        r'{ churches(search: "\u0000", first: 1) { totalCount } }',
        r'query ($s: String = "\u0000") { churches(search: $s) { totalCount } }',
        r'{ myTeam(token: "\u0000") { id } }',
        r'mutation { signIn(input: {email: "a@b.example", password: "\u0000"}) { token } }',
        VALIDATE_LITERALLY,
    ],
)
async def test_literal_is_refused_as_a_variable(client, sql, query):
    before = await everything(sql)

    for _ in range(2):
        assert error_extensions(await execute(client, query))["code"] == "BAD_USER_INPUT"

    assert await everything(sql) == before


@pytest.mark.parametrize(
    "body",
    [
        {"query": "{ tournament { id } }", "variables": {"\ud800": 1}},
        {"query": "{ tournament { id } }", "variables": {"a": {"\ud800": ["\0"]}}},
        {"query": "query A { tournament { id } }", "operationName": "\ud800"},
        {"query": "query A { tournament { id } }", "operationName": "A\0"},
        {"query": "{ tournament { id } } # \ud800"},
        {"query": '{ churches(search: "\ud800") { totalCount } }'},
        {"query": '{ churches(search: """\ud800""") { totalCount } }'},
        {"query": r'{ churches(search: "\ud800") { totalCount } }'},
        {"query": "{ \ud800 }"},
        {"query": "\0{ tournament { id } }"},
        {"extensions": {"persistedQuery": {"sha256Hash": "\ud800", "version": 1}}},
        {"documentId": "\ud800"},
        {"query": "{ tournament { id } }", "extensions": {"\ud800": "\0"}},
        {"\ud800": "\0", "query": "{ tournament { id } }"},
        {"query": factories.VALIDATE, "variables": {"input": factories.team() | {"\ud800": 1}}},
    ],
)  # fmt: skip
async def test_unstorable_part_of_a_request_gets_an_error_code(client, body):
    answer = await client.post(
        "/graphql", content=json.dumps(body), headers={"Content-Type": "application/json"}
    )

    codes = {error["extensions"]["code"] for error in answer.json().get("errors", ())}
    assert answer.status_code < 500
    assert codes <= {
        "BAD_USER_INPUT",
        "GRAPHQL_PARSE_FAILED",
        "GRAPHQL_VALIDATION_FAILED",
        "PERSISTED_QUERY_NOT_SUPPORTED",
    }


def at(team: dict, path: Steps, text: str) -> dict:
    """Return the form with the text at this path."""
    target: Any = team
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = text
    return team


NAMES: list[Steps] = [
    ("teamName",),
    ("churchName",),
    ("captain", "name"),
    ("viceCaptain", "name"),
    ("players", 3, "name"),
]


NOT_NAMES = [
    ("An\0and", "NAME_CHARACTERS"),
    ("Anand \ud83c", "NAME_CHARACTERS"),
    (MARKS, "NAME_TOO_LONG"),
    (MARKS[::-1], "NAME_TOO_LONG"),
    ("a\u0345" * 12_000, "NAME_TOO_LONG"),
    ("\ufdfa" * 8_000, "NAME_TOO_LONG"),
    (" " * 48_000, "NAME_TOO_LONG"),
    ("\u3164" * 400, "NAME_TOO_LONG"),
    ("\u3164" * 3, "NAME_TOO_SHORT"),
    ("\uffa0\u115f\u1160", "NAME_TOO_SHORT"),
    ("\u034f\u17b4\u180b", "NAME_TOO_SHORT"),
    ("\u2800\u2800\u2800", "NAME_CHARACTERS"),
]


@pytest.mark.parametrize("path", NAMES, ids=str)
async def test_unstorable_name_is_an_issue_beside_others(client, sql, monkeypatch, path):
    lengths: list[int] = []
    original: Callable[[str, str], str] = unicodedata.normalize
    monkeypatch.setattr(
        unicodedata,
        "normalize",
        lambda form, text: lengths.append(len(text)) or original(form, text),
    )
    before = await everything(sql)

    for text, code in NOT_NAMES:
        form = at(factories.team(), path, text) | {"documents": [DOCUMENT]}
        form["captain"]["email"] = "none"
        refusal = error_extensions(await execute(client, factories.REGISTER, {"input": form}))

        assert {(issue["pointer"], issue["code"]) for issue in refusal["issues"]} == {
            ("/".join(map(str, ("/input", *path))), code),
            ("/input/captain/email", "EMAIL_INVALID"),
            ("/input/documents/0/documentId", "DOCUMENT_UNKNOWN"),
        }

    assert max(lengths) <= NFKC_MAX_LENGTH
    assert await everything(sql) == before


DOCUMENT = {"kind": "PASTOR_LETTER", "documentId": "\ud800\0"}


@pytest.mark.parametrize("code", DECISIONS.values(), ids=lambda one: one[0])
async def test_reason_is_stored_trimmed(client, sql, reviewer, code):
    await register(client)
    event = next(event for event, known in DECISIONS.items() if known == code)
    text = " \u202e Please\r\n\u200bsend it.\t\n" + " " * 900
    changes: dict[str, Any] = {
        "confirmTeam": {"overrideReason": text},
        "requestChanges": {"items": [{"note": text}]},
    }.get(code[0], {"reason": text})
    if code[0] == "reopenTeam":
        await sql.execute("UPDATE team SET status = 'CONFIRMED'")

    data(await decide(client, reviewer, event, **changes))

    row = await sql.fetchrow("SELECT reason, items FROM decision ORDER BY id DESC LIMIT 1")
    stored = json.loads(row["items"])[0]["note"] if code[0] == "requestChanges" else row["reason"]
    assert stored == "Please\nsend it."


LOOK_ALIKES = ("\u034f", "\ufe0f", "\u17b4", "\u180b", "\u3164", "\u200b", "\U000e0041", "\u200d")


@pytest.mark.parametrize("sign", LOOK_ALIKES, ids=ascii)
async def test_invisible_characters_do_not_make_another_church(client, sql, sign):
    names = ["CSI Zion", f"CSI Zi{sign}on", f"{sign}C{sign}SI Zion{sign}"]

    answers = [
        await execute(
            client, factories.REGISTER, {"input": factories.team(number, churchName=name)}
        )
        for number, name in enumerate(names)
    ]

    data(answers[0])
    data(answers[1])
    assert error_extensions(answers[2])["code"] == "CHURCH_LIMIT_REACHED"
    assert await sql.fetchval("SELECT count(*) FROM church") == 1
    assert await sql.fetchval("SELECT count(*) FROM team") == 2


@pytest.mark.parametrize("sign", LOOK_ALIKES, ids=ascii)
async def test_name_with_invisible_characters_is_a_duplicate(client, sql, sign):
    await register(client, 0, teamName="Zion Warriors", churchName="CSI Zion")
    squad = factories.players()
    squad[1] = {"name": f"Anand{sign} Kumar I"}
    form = factories.team(
        1,
        teamName=f"Zion{sign} Warr{sign}iors",
        churchName="CSI Zion",
        captain=factories.person(2, name="Ravi Raj"),
        viceCaptain=factories.person(2, name=f"Ra{sign}vi Raj"),
        players=squad,
    )

    refusal = error_extensions(await execute(client, factories.REGISTER, {"input": form}))

    assert [(issue["pointer"], issue["code"]) for issue in refusal["issues"]] == [
        ("/input/teamName", "DUPLICATE_TEAM_NAME"),
        ("/input/viceCaptain/name", "SAME_PERSON_TWICE"),
        ("/input/viceCaptain/phone", "SAME_PERSON_TWICE"),
        ("/input/players/1/name", "DUPLICATE_PLAYER"),
    ]
    assert await sql.fetchval("SELECT count(*) FROM team") == 1


async def test_search_ignores_invisible_characters(client, reviewer):
    await register(
        client, 0, churchName="CSI Zion", captain=factories.person(name="അനില്\u200d കുമാർ")
    )
    query = """query ($s: String, $f: TeamFilter) {
      churches(search: $s) { totalCount } teams(filter: $f) { totalCount }
    }"""

    for text in ("Z\u200bion", "\ufeffzi\u034fon", "zion\ufe0f", "\u202ezion\u202c"):
        found = data(await execute(client, query, {"s": text, "f": {"text": text}}, **reviewer))
        assert found == {"churches": {"totalCount": 1}, "teams": {"totalCount": 1}}
    for text in ("അനില്", "അനില്\u200d", "അനില്\u200d കുമാർ"):
        found = data(await execute(client, query, {"s": "x", "f": {"text": text}}, **reviewer))
        assert found["teams"] == {"totalCount": 1}


async def test_long_password_is_a_wrong_password(client, services):
    await bearer_headers(services, Role.OWNER)
    query = "mutation ($i: SignInInput!) { signIn(input: $i) { token } }"

    for password in (
        "é" * 513,
        "a" + "\u0301\u0316" * 900,
        " " * 2000,
        "correct horse battery" * 50,
    ):
        wanted = {"email": "owner@example.org", "password": password}
        assert (
            error_extensions(await execute(client, query, {"i": wanted}))["code"]
            == "SIGN_IN_FAILED"
        )


async def test_content_type_of_a_ticket_is_the_bare_type(client):
    query = (
        "mutation ($i: OpenUploadInput!) { openUpload(input: $i) { ticket { headers { value } } } }"
    )
    wanted = {
        "kind": "PHOTO",
        "fileName": "a.png",
        "contentType": "Image/PNG; x=\r\nSet-Cookie: a",
        "byteSize": 1,
        "sha256": "0" * 64,
    }

    ticket = data(await execute(client, query, {"i": wanted}))["openUpload"]["ticket"]

    assert ticket == {"headers": [{"value": "image/png"}]}
