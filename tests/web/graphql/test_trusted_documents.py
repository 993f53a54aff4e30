"""Documents that anybody may run, where the others are for organisers."""

import json
from hashlib import sha256

import pytest
from graphql import parse, print_ast

from config.base import SettingsError
from domain.auth.roles import Role
from domain.errors.exceptions import Forbidden
from server import create_app
from tests import factories
from tests.accounts import bearer_headers
from tests.graphql_client import app_client, data, error_extensions, execute
from web.graphql.trusted_documents import TrustedDocuments

NAME = "{ tournament { name } }"
OTHER = "{ tournament { venue } }"
# As a person writes it, and as clients print it that ask objects for their types.
WRITTEN = """
query Teams($first: Int, $text: String = "a, b  c") {
  teams(first: $first, filter: {text: $text}, after: "q") { ...Page nodes { id, code } }
} # One page.
fragment Page on TeamConnection { totalCount }
"""
APOLLO = """query Teams($first: Int, $text: String = "a, b  c") {
  teams(first: $first, filter: {text: $text}, after: "q") {
    ...Page
    nodes {
      id
      code
      __typename
    }
    __typename
  }
}

fragment Page on TeamConnection {
  totalCount
  __typename
}"""
URQL = """query Teams($first: Int, $text: String = \n"a, b  c") {
  teams(first: $first, filter: {text: $text}, after: \n"q") {
    ...Page
    nodes {
      id
      code
      __typename
    }
    __typename
  }
}
fragment Page on TeamConnection {
  totalCount
  __typename
}"""
NAMED = {"tournament": {"name": "ICCT26 Cricket Tournament"}}


@pytest.fixture
def trusting(tmp_path, settings_with, database, database_url):
    """The application with a file of trusted documents."""
    file = tmp_path / "trusted.json"
    file.write_text(json.dumps({"theName": NAME, "register": factories.REGISTER}))
    return lambda: app_client(settings_with(trusted_documents=file), database_url)


async def test_strangers_run_trusted_documents_alone(trusting, sql):
    async with trusting() as client:
        assert data(await execute(client, NAME)) == NAMED
        assert data(await execute(client, f"\n{NAME}  ")) == NAMED
        other = await execute(client, OTHER)
        team = await execute(client, factories.REGISTER, {"input": factories.team()})
        mine = await execute(client, OTHER, Authorization="Bearer icm_whatever")

    assert (other.status_code, error_extensions(other)["code"]) == (403, "FORBIDDEN")
    assert error_extensions(mine)["code"] == "FORBIDDEN"
    assert data(team)["registerTeam"]["team"]["code"] == "ICCT-001"


async def test_organisers_run_anything(trusting, services):
    viewer = await bearer_headers(services, Role.VIEWER)
    async with trusting() as client:
        assert data(await execute(client, OTHER, **viewer)) == {"tournament": {"venue": None}}


@pytest.mark.parametrize(
    "body",
    [
        {"documentId": "theName"},
        {"documentId": sha256(NAME.encode()).hexdigest()},
        {"extensions": {"persistedQuery": {"sha256Hash": sha256(NAME.encode()).hexdigest()}}},
    ],
    ids=["name", "hash", "persisted"],
)
async def test_a_document_is_run_by_its_name(trusting, body):
    async with trusting() as client:
        assert data(await client.post("/graphql", json=body)) == NAMED


@pytest.mark.parametrize(
    "text",
    [
        WRITTEN,
        APOLLO,
        URQL,
        APOLLO.replace("\n", "\r\n"),
        " ".join(WRITTEN.replace("# One page.", "").split("\n")),
        f"# Of the page.\n{APOLLO}",
        f"\ufeff{APOLLO}",
        APOLLO.replace("id\n      code", "id,,code"),
    ],
    ids=range(8),
)
def test_document_is_trusted_as_clients_print_it(text):
    TrustedDocuments({"teams": WRITTEN}).require(text)


@pytest.mark.parametrize(
    "text",
    [
        APOLLO.replace("code", "name"),
        APOLLO.replace("code", "code name"),
        APOLLO.replace('"a, b  c"', '"a, b c"'),
        APOLLO.replace("__typename", "__schema { types { name } }"),
        APOLLO.replace("      __typename\n", "", 1),
        APOLLO + " query Other { tournament { venue } }",
        APOLLO + " {",
        APOLLO + ' "',
        APOLLO + " #" + " " * 4 * len(APOLLO),
        "",
        "{" * 100,
    ],
    ids=range(11),
)
def test_other_document_is_not_trusted(text):
    with pytest.raises(Forbidden):
        TrustedDocuments({"teams": WRITTEN}).require(text)


def test_trusted_document_is_found_by_the_hash_of_what_clients_print():
    trusted = TrustedDocuments({"teams": WRITTEN})

    for text in (WRITTEN, APOLLO, print_ast(parse(WRITTEN))):
        assert trusted.find(sha256(text.encode()).hexdigest()) == text
    assert trusted.find(sha256(URQL.encode()).hexdigest()) is None


def test_name_of_the_file_is_preferred_to_a_hash():
    name = sha256(NAME.encode()).hexdigest()

    assert TrustedDocuments({"theName": NAME, name: OTHER}).find(name) == OTHER


@pytest.mark.parametrize(
    "body",
    [
        {"documentId": "nothing"},
        {"documentId": 7},
        {"extensions": {"persistedQuery": {"sha256Hash": "0" * 64}}},
        {"extensions": {"persistedQuery": 1}},
    ],
    ids=json.dumps,
)
async def test_unknown_name_of_a_document_is_not_found(trusting, body):
    async with trusting() as client:
        answer = await client.post("/graphql", json=body)

    assert (answer.status_code, error_extensions(answer)["code"]) == (
        400,
        "PERSISTED_QUERY_NOT_FOUND",
    )
    assert answer.json()["errors"][0]["message"] == "PersistedQueryNotFound"


@pytest.mark.parametrize(
    "body",
    [
        {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "0" * 64}}},
        {"extensions": {"persistedQuery": {"sha256Hash": None}}},
        {"documentId": "theName"},
    ],
    ids=json.dumps,
)
async def test_name_of_a_document_is_not_supported_without_trusted_documents(client, body):
    posted = await client.post("/graphql", json=body)
    extensions = json.dumps(body.get("extensions"))
    fetched = await client.get("/graphql", params={"extensions": extensions})

    assert error_extensions(posted)["code"] == "PERSISTED_QUERY_NOT_SUPPORTED"
    assert posted.json()["errors"][0]["message"] == "PersistedQueryNotSupported"
    if "extensions" in body:
        assert fetched.json()["errors"][0]["message"] == "PersistedQueryNotSupported"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory"),
        ("[]", "is not a JSON object that maps names to documents"),
        ("{}", "is not a JSON object that maps names to documents"),
        ('{"a": 1}', "is not a JSON object that maps names to documents"),
        ('{"a": "{"}', "has a document that is not valid GraphQL"),
        ("{", "unexpected end of data: line 1 column 2 (char 1)"),
    ],
    ids=str,
)
def test_a_file_that_is_wrong_keeps_the_service_from_starting(
    tmp_path, settings_with, content, reason
):
    file = tmp_path / "trusted.json"
    if content is not None:
        file.write_text(content)

    with pytest.raises(SettingsError) as refusal:
        create_app(settings_with(trusted_documents=file), "postgresql+asyncpg://nobody@localhost/")

    assert refusal.value.problems == [f"TRUSTED_DOCUMENTS: {reason}"]
