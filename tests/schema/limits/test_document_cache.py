"""Documents with a syntax error are parsed once and refused with the same message."""

import asyncio

import pytest
from graphql import GraphQLSyntaxError, parse

from schema.limits import document_cache
from schema.limits.document_cache import MAX_SYNTAX_ERRORS_BYTES, DocumentCache
from tests.graphql_client import app_client, error_extensions, execute

WRONG = {
    "a brace": "{",
    "a brace too many": "{ health { status } } }",
    "a text that is not closed": '{ churches(search: "abc) { totalCount } }',
    "a number": "7",
    "a sign": "{ health ^ }",
    "half a character": "{ \ud83c }",
    "lines": "query A {\n  health {\n    status(\n  }\n}",
    "many tokens": "{ " + "a " * 2_100 + "}",
    "many comments": "#\n" * 2_100 + "{ health { status } }",
    "many braces": "{ a " * 300 + "}" * 300,
    "only a comment": "# nothing",
}


@pytest.fixture
def parsings(monkeypatch):
    """The texts passed to the parser, in order."""
    texts = []

    def parse_and_count(text, **options):
        texts.append(text)
        return parse(text, **options)

    monkeypatch.setattr(document_cache, "parse", parse_and_count)
    return texts


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG.keys())
async def test_document_with_a_syntax_error_is_parsed_once(client, parsings, text):
    answers = [await execute(client, text) for _ in range(3)]

    bodies = [answer.json()["errors"][0] for answer in answers]
    for body in bodies:
        del body["extensions"]["requestId"]
    assert parsings == [text]
    assert bodies[0] == bodies[1] == bodies[2]
    assert error_extensions(answers[0])["code"] in {"GRAPHQL_PARSE_FAILED", "QUERY_TOO_COMPLEX"}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG.keys())
def test_cached_syntax_error_equals_the_parsers_error(text):
    cache, errors = DocumentCache(), []
    for _ in range(2):
        with pytest.raises(GraphQLSyntaxError) as raised:
            cache.parse(text, max_tokens=2_000)
        errors.append(raised.value)

    assert errors[0].formatted == errors[1].formatted
    assert errors[0].locations == errors[1].locations


def test_cached_syntax_errors_are_bounded_in_bytes():
    cache = DocumentCache()
    for number in range(3_000):
        for text in (f"{number} {{", f"{{ a(b: $ {'x' * 5_000}{number} "):
            with pytest.raises(GraphQLSyntaxError):
                cache.parse(text, max_tokens=2_000)

    assert 0 < cache.bytes <= MAX_SYNTAX_ERRORS_BYTES


def long_document(number: int) -> str:
    return "{ " + " ".join(f"f{number}x{place:04}" for place in range(400)) + " }"


@pytest.mark.parametrize("count", [8, 20, 50])
async def test_long_documents_of_clients_are_parsed_in_turns(
    settings_with, database, database_url, parsings, count
):
    async with app_client(settings_with(trusted_proxies="127.0.0.1"), database_url) as client:
        sent = [
            execute(client, long_document(100 * count + number), X_Forwarded_For="198.51.100.7")
            for number in range(count)
        ]
        other = long_document(100 * count + count)
        await asyncio.gather(*sent, execute(client, other, X_Forwarded_For="203.0.113.9"))

    assert len(parsings) == count + 1
    assert parsings.index(other) <= 2
