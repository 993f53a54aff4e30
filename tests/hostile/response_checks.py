"""Invariants of every response."""

import json
import re

import httpx

from tests.graphql_client import check_envelope

# Parts of stacks, statements, paths and versions.
LEAKS = re.compile(
    r"Traceback|File \"|site-packages|\.py\b|asyncpg|sqlalchemy|psycopg|SELECT |INSERT INTO|UPDATE "
    r"|/(?:work|home|tmp|usr)/|strawberry|graphql-core|uvicorn|starlette|Python/|object at 0x",
    re.IGNORECASE,
)
# What a hostile request carries, and no answer may repeat.
CANARY = "Zk7canary9Q"
INTENDED = {503, 504}


def check(answer: httpx.Response) -> None:
    """Assert that a response has no defect, leak or echo, and that errors have the envelope."""
    assert answer.status_code < 500 or answer.status_code in INTENDED, answer.text[:500]
    shown = " ".join([answer.text, *map(str, answer.headers.items())])
    leak = LEAKS.search(shown)
    assert leak is None, f"{leak[0]!r} in {shown[:500]}"
    assert CANARY not in answer.text
    if answer.status_code >= 400 and answer.request.method != "HEAD":
        check_envelope(answer.json())
    kind = answer.headers.get("Content-Type", "")
    if "json" in kind and answer.content:
        body = json.loads(answer.content)
        for error in body.get("errors", ()) if isinstance(body, dict) else ():
            assert error["extensions"]["code"] != "INTERNAL"
        if isinstance(body, dict) and "errors" in body:
            check_envelope(body)
