import pytest
from sqlalchemy.engine import make_url

from persistence.urls import asyncpg_url


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            "postgres://u:p@ep-cool.neon.tech/db?sslmode=require&channel_binding=require",
            "postgresql+asyncpg://u:p@ep-cool.neon.tech/db?ssl=require",
        ),
        ("postgresql://u:p@h:6543/db", "postgresql+asyncpg://u:p@h:6543/db"),
        ("postgresql+asyncpg://u@h/db?ssl=prefer", "postgresql+asyncpg://u@h/db?ssl=prefer"),
        ("POSTGRESQL://u@h/db", "postgresql+asyncpg://u@h/db"),
        ("postgresql://u@h/db?sslmode=disable", "postgresql+asyncpg://u@h/db?ssl=disable"),
        ("postgresql://u@h/db?sslmode=allow", "postgresql+asyncpg://u@h/db?ssl=allow"),
        ("postgresql://u@h/db?sslmode=verify-ca", "postgresql+asyncpg://u@h/db?ssl=verify-ca"),
        ("postgresql://u@h/db?sslmode=verify-full", "postgresql+asyncpg://u@h/db?ssl=verify-full"),
        ("postgresql://u@h/db?application_name=web", "postgresql+asyncpg://u@h/db"),
        ("postgresql://u@/db?host=/tmp/pg", "postgresql+asyncpg://u@/db?host=%2Ftmp%2Fpg"),
    ],
)
def test_database_url_is_translated_for_asyncpg(given, expected):
    assert asyncpg_url(given) == expected


def test_encoded_password_survives_the_translation():
    given = "postgres://u%40x:p%40s%2Fw%3Ard%25%2B%20%3F%23@h/db?sslmode=require"

    url = make_url(asyncpg_url(given))

    assert (url.username, url.password) == ("u@x", "p@s/w:rd%+ ?#")
    assert (url.host, url.database, dict(url.query)) == ("h", "db", {"ssl": "require"})
