import pytest
from sqlalchemy.engine import make_url

from config.database_url import asyncpg_url


@pytest.mark.parametrize(
    ("url", "expected"),
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
def test_database_url_is_translated_for_asyncpg(url, expected):
    assert asyncpg_url(url) == expected


def test_encoded_password_is_preserved():
    url = "postgres://u%40x:p%40s%2Fw%3Ard%25%2B%20%3F%23@h/db?sslmode=require"

    url = make_url(asyncpg_url(url))

    assert (url.username, url.password) == ("u@x", "p@s/w:rd%+ ?#")
    assert (url.host, url.database, dict(url.query)) == ("h", "db", {"ssl": "require"})


@pytest.mark.parametrize(
    "text",
    [
        " postgresql://u:p@h/db",
        "postgresql://u:p@h/db\n",
        "postgresql://u:p@h/db\r\n",
        "\tpostgresql://u:p@h/db \t",
        "\n\npostgresql://u:p@h/db\n\n",
        "\u00a0postgresql://u:p@h/db\u00a0",
    ],
    ids=repr,
)
def test_white_space_around_the_url_is_ignored(text):
    assert asyncpg_url(text) == "postgresql+asyncpg://u:p@h/db"


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://u:hunter@2@h/db",
        "postgresql://u:@hunter2@h/db",
        "postgresql://u:hunter2@@h/db",
        "postgresql://u:hun@ter/2@h/db",
        "postgresql://u:hun/t@er2@h/db",
        "postgresql://u@example.org:hunter@2@h:5432/db?sslmode=require",
        "postgresql://u:hunter@2@h:5432/db",
    ],
)
def test_unescaped_at_sign_or_slash_in_the_password_is_explained(text):
    with pytest.raises(ValueError, match="must be written as %40 or %2F") as error:
        asyncpg_url(text)

    assert "2" not in str(error.value).replace("%2F", "")


@pytest.mark.parametrize(
    ("text", "password"),
    [
        ("postgresql://u:p/ss@h/db", "p/ss"),
        ("postgresql://u:p?ss@h/db", "p?ss"),
        ("postgresql://u:p#ss@h/db", "p#ss"),
        ("postgresql://u:p:ss@h/db", "p:ss"),
    ],
)
def test_unambiguous_special_character_in_the_password_is_accepted(text, password):
    url = make_url(asyncpg_url(text))

    assert (url.password, url.host, url.database) == (password, "h", "db")


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("target_session_attrs=read-write", "target_session_attrs"),
        ("pgbouncer=true", "pgbouncer"),
        ("schema=public&pgbouncer=true", "pgbouncer, schema"),
        ("sslmode=require&options=-c%20a%3Db", "options"),
        ("keepalives=1", "keepalives"),
    ],
)
def test_unknown_options_are_listed(query, names):
    with pytest.raises(ValueError, match="unknown options") as error:
        asyncpg_url(f"postgresql://u:p@h/db?{query}")

    assert str(error.value).startswith(f"has unknown options {names}; known are ")


@pytest.mark.parametrize("query", ["hunter2=1", "Hunter=1", "sslmode=require&p%40ss=1", "x=1"])
def test_option_that_may_be_part_of_a_secret_is_not_repeated(query):
    with pytest.raises(ValueError, match=r"^has an option after '\?' other than "):
        asyncpg_url(f"postgresql://u:p@h/db?{query}")
