"""Redaction of signed links and tokens, in every encoding and for every logger."""

import io
import json
import logging
import sys
from urllib.parse import quote
from uuid import UUID

import pytest
import structlog

from observability.logging_setup import configure_logging
from observability.redaction import REDACTED, scrub
from resolvers.accounts.tokens import TokenKind, new_token
from resolvers.security.secrets import Secrets, manage_token, sign
from tests.conftest import SECRET
from tests.logging_state import restored_logging
from web.middleware.access_log import MAX_LOGGED_PATH, redacted_path

SECRETS = Secrets(current=SECRET)
LINK = sign(SECRETS, "link", ["6f1c0c525a0e4c6e9d0f123456789012", "REVIEWER", 1_795_000_000, "x"])
# Long enough for itsdangerous to compress it, which adds a dot at the start.
LONG = sign(SECRETS, "export", ["system", "OWNER", 1_795_000_000, "CSV", "{}" * 200])
TICKET = sign(SECRETS, "upload", ["6f1c0c525a0e4c6e9d0f123456789012", "PHOTO", 7])
MANAGE = manage_token(SECRETS, UUID(int=7))
SESSION = new_token(TokenKind.SESSION)
TOKENS = {
    "link": LINK,
    "compressed link": LONG,
    "ticket": TICKET,
    "manage token": MANAGE,
    "session": SESSION,
}


def percent_encode_all(text: str) -> str:
    return "".join(f"%{ord(letter):02x}" for letter in text)


SPELLINGS = {
    "alone": lambda token: token,
    "in an address": lambda token: f"https://icct.example/files/{token}?download=1#top",
    "as a referer": lambda token: f'"Referer": "https://icct.example/x/{token}"',
    "percent": lambda token: quote(quote(token, safe=""), safe="").replace("_", "%5F"),
    "percent, every letter": percent_encode_all,
    "percent, twice": lambda token: quote(percent_encode_all(token)),
    "percent, again and again": lambda token: token + "%2525252525252541" * 2,
    "in brackets": lambda token: f"GET ({token}) HTTP/1.1",
    "as bytes": lambda token: repr(f"/exports/{token}".encode()),
    "after a long text": lambda token: f"{'word ' * 100}{token} and more",
}


@pytest.mark.parametrize("token", TOKENS.values(), ids=TOKENS)
@pytest.mark.parametrize("written", SPELLINGS.values(), ids=SPELLINGS)
def test_links_and_tokens_in_text_are_redacted(token, written):
    text = scrub(f"before {written(token)} after")

    assert REDACTED in text
    assert token[-20:] not in text
    assert percent_encode_all(token)[-20:] not in text
    assert token[4:24] not in text


@pytest.mark.parametrize(
    "text",
    [
        'File "/srv/app/.venv/lib/python3.13/site-packages/starlette/routing.py", line 100, in app',
        "_brotli.cpython-313-x86_64-linux-gnu.so",
        "persistence.engine.database.Database.read",
        "100% of 5.000 files/uploads are there",
        "a rate of 30%25 in /srv/files/documents",
        "register.example.org",
    ],
)
def test_harmless_text_is_unchanged(text):
    assert scrub(text) == text


PATHS = {
    "/files/{}": "/files/[redacted]",
    "//files/{}": "//files/[redacted]",
    "/Files/{}": "/Files/[redacted]",
    "/FILES//{}": "/FILES/[redacted]",
    "/%66iles/{}": "/files/[redacted]",
    "/%2566iles%252F{}": "/files/[redacted]",
    "/api/v1/exports/{}": "/api/v1/exports/[redacted]",
    "/./uploads/{}": "/./uploads/[redacted]",
    "/uploads\\{}": "/uploads\\[redacted]",
    "/uploads%00{}": "/uploads\0[redacted]",
    "/files;v=1/{}": "/files;[redacted]",
    "/file/{}": "/file/[redacted]",
    "/{}": "/[redacted]",
    "/graphql/{}/more": "/graphql/[redacted]/more",
}


@pytest.mark.parametrize("token", TOKENS.values(), ids=TOKENS)
@pytest.mark.parametrize("path", PATHS)
def test_links_and_tokens_in_paths_are_redacted(path, token):
    assert redacted_path(path.format(token)) == PATHS[path]


def test_path_is_cut_after_redaction():
    cut = redacted_path("/" + "a/" * 90 + LINK)

    assert len(cut) <= MAX_LOGGED_PATH
    assert LINK[:12] not in cut
    assert redacted_path("/" + "a" * 900) == "/" + "a" * 199


@pytest.fixture
def written(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with restored_logging():
        configure_logging(level="INFO", environment="production")
        yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize("token", TOKENS.values(), ids=TOKENS)
def test_links_and_tokens_are_redacted_for_every_logger(written, token):
    address = f"//FILES/{token}"
    log = structlog.get_logger("tests.links")
    log.warning("odd_request", target=address, headers={"Referer": address}, seen=[address])
    for name in ("uvicorn.error", "httpx", "asyncio", "h11"):
        logging.getLogger(name).warning("Invalid HTTP request received: %s", address)
    try:
        raise RuntimeError(address)  # noqa: TRY301 - logged below
    except RuntimeError:
        log.exception("unexpected_exception")

    lines = written()
    assert len(lines) == 6
    assert token[4:24] not in json.dumps(lines)
    assert token[-20:] not in json.dumps(lines)
