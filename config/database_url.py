"""Parsing of database URLs in the notations of operators and hosting services."""

import re

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

SCHEMES = ("postgres", "postgresql", "postgresql+asyncpg")
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
# asyncpg negotiates channel binding itself, and the service sets the application name.
IGNORED_OPTIONS = frozenset({"channel_binding", "application_name"})
PASSED_OPTIONS = frozenset({"host", "port"})
# Messages repeat only such names. Other text may be part of a secret.
OPTION_NAME = re.compile(r"[a-z_]{2,40}")
OPTIONS = IGNORED_OPTIONS | PASSED_OPTIONS | {"sslmode", "ssl"}


def asyncpg_url(text: str) -> str:
    """The URL for SQLAlchemy's asyncpg dialect. Raises ValueError, which never repeats the URL."""
    text = text.strip()
    scheme = text.partition(":")[0].lower()
    if scheme.startswith(("sqlite", "mysql", "mariadb")):
        raise ValueError(
            "must be a PostgreSQL database: registration depends on row locks, partial unique "
            "indexes and transactional migrations, which SQLite and MySQL do not offer together"
        )
    if scheme not in SCHEMES:
        raise ValueError("must begin with postgresql://, postgres:// or postgresql+asyncpg://")
    url = _parse_url(text)
    url = url.set(drivername="postgresql+asyncpg", query=_options(url))
    return url.render_as_string(hide_password=False)


def _parse_url(text: str) -> URL:
    form = "postgresql://user:password@host:5432/name"
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ValueError(f"is not of the form {form}") from None
    if "@" in (url.host or "") or "@" in (url.database or ""):
        raise ValueError("has an @ or / in the user or password that must be written as %40 or %2F")
    if not url.database or not (url.host or "host" in url.query):
        raise ValueError(f"must name a host and a database, as in {form}")
    return url


def _options(url: URL) -> dict[str, str | tuple[str, ...]]:
    unknown = sorted(set(url.query) - OPTIONS)
    if unknown:
        known = ", ".join(sorted(OPTIONS))
        if all(OPTION_NAME.fullmatch(name) for name in unknown):
            raise ValueError(f"has unknown options {', '.join(unknown)}; known are {known}")
        raise ValueError(f"has an option after '?' other than {known}")
    modes = {url.query[name] for name in ("sslmode", "ssl") if name in url.query}
    if not modes.issubset(SSL_MODES) or len(modes) > 1:
        raise ValueError(f"needs one sslmode, of {', '.join(SSL_MODES)}")
    options = {name: value for name, value in url.query.items() if name in PASSED_OPTIONS}
    if modes:
        options["ssl"] = modes.pop()
    return options
