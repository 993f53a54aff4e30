"""Liveness, readiness, the catalogue, the explorer."""

from html.parser import HTMLParser

import pytest

from domain.errors.codes import CATALOG
from domain.errors.issue_codes import IssueCode
from settings import load_settings
from tests.conftest import SECRET
from tests.environment import DEPLOYED
from tests.graphql_client import UNREACHABLE_DATABASE, app_client, error_extensions

READY = ("/readyz", "/health")


@pytest.fixture
async def without_database(settings):
    async with app_client(settings, UNREACHABLE_DATABASE) as client:
        yield client


class Catalogue(HTMLParser):
    """The texts of the sections by their id."""

    def __init__(self) -> None:
        super().__init__()
        self.sections: list[tuple[str, list[str]]] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == "section":
            self.sections.append((dict(attrs)["id"], []))

    def handle_data(self, data):
        if self.sections:
            self.sections[-1][1].append(data)


async def test_the_process_lives_while_the_database_is_away(without_database):
    answer = await without_database.get("/livez")

    assert (answer.status_code, answer.text) == (200, "ok\n")


@pytest.mark.parametrize("path", READY)
async def test_a_service_with_its_database_is_ready(client, path):
    answer = await client.get(path)

    body = answer.json()
    latency = body["checks"][0].pop("latencyMs")
    assert 0 < latency < 5_000
    assert answer.status_code == 200
    assert body == {
        "status": "OK",
        "version": "0.1.0",
        "checks": [{"name": "database", "status": "OK"}],
    }


@pytest.mark.parametrize("path", READY)
async def test_a_service_without_its_database_is_not_ready(without_database, path):
    answer = await without_database.get(path)

    assert answer.status_code == 503
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == {
        "status": "DOWN",
        "version": "0.1.0",
        "checks": [{"name": "database", "status": "DOWN", "latencyMs": None}],
    }


async def test_health_can_be_asked_in_graphql_while_the_database_is_away(without_database):
    query = "{ health { status version checks { name status latencyMs } } }"

    answer = await without_database.post("/graphql", json={"query": query})

    assert answer.json()["data"]["health"] == {
        "status": "DOWN",
        "version": "0.1.0",
        "checks": [{"name": "database", "status": "DOWN", "latencyMs": None}],
    }


async def test_the_catalogue_has_a_section_for_each_code(client):
    answer = await client.get("/errors")

    page = Catalogue()
    page.feed(answer.text)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.sections == [
        (
            code,
            [
                code,
                entry.description,
                f"Cause: {entry.cause}",
                f"What to do: {entry.action}",
            ],
        )
        for code, entry in (*CATALOG.items(), *((code.value, code) for code in IssueCode))
    ]
    assert page.tags == set("html meta title main h1 section h2 p".split())


async def test_the_texts_of_the_catalogue_are_escaped(client):
    page = (await client.get("/errors")).text

    assert "also digits and &amp;." in page
    assert "digits and & as well" not in page


async def test_the_explorer_is_there_in_development(tmp_path, database_url):
    settings = load_settings(None, environment="development", data_dir=tmp_path, secret_key=SECRET)
    async with app_client(settings, database_url) as client:
        answer = await client.get("/graphiql")

    assert answer.status_code == 200
    assert "graphiql" in answer.text
    assert "{{" not in answer.text.replace("{{}}", "")
    assert "new URL('/graphql', window.location).href" in answer.text
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("environment", ["test", "staging", "production"])
async def test_the_explorer_is_nowhere_else(tmp_path, environment):
    deployed = {
        "database_url": DEPLOYED["DATABASE_URL"],
        "secret_key": DEPLOYED["SECRET_KEY"],
        "allowed_hosts": "localhost",
        "trusted_proxies": "none",
    }
    settings = load_settings(None, environment=environment, data_dir=tmp_path, **deployed)
    async with app_client(settings, UNREACHABLE_DATABASE) as client:
        answer = await client.get("/graphiql")

    assert (answer.status_code, error_extensions(answer)["code"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize("path", ["/", "/nothing", "/errors/INTERNAL", "/..%2f"])
async def test_other_addresses_name_nothing(client, path):
    answer = await client.get(path)

    assert (answer.status_code, error_extensions(answer)["code"]) == (404, "NOT_FOUND")
    assert answer.json()["errors"][0]["message"] == "There is nothing at this address."


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/health", "/errors"])
async def test_pages_are_only_read(client, path):
    answer = await client.post(path)

    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")
    assert error_extensions(answer)["code"] == "METHOD_NOT_ALLOWED"
    assert (await client.head(path)).status_code == 200


async def test_address_with_a_slash_too_many_is_nowhere(client):
    answer = await client.post("/graphql/", json={"query": "{ health { status } }"})

    assert answer.status_code == 404
    assert answer.json()["errors"][0]["extensions"]["code"] == "NOT_FOUND"
