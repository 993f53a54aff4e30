from functools import partial

import pytest

from settings import SettingsError
from tests.environment import DEPLOYED, FULL_SET, load_settings_from, settings_problems

REQUIRED = "is required in staging and production"
WEAK_SECRET = "needs 32 random characters or more and no well-known default"


@pytest.fixture
def problems(monkeypatch):
    return partial(settings_problems, monkeypatch)


DATABASE_FORM = "postgresql://user:password@host:5432/name"
NOT_POSTGRESQL = (
    "must be a PostgreSQL database: registration depends on row locks, partial unique indexes and "
    "transactional migrations, which SQLite and MySQL do not offer together"
)
URL_OPTIONS = (
    "has an option after '?' other than application_name, channel_binding, host, port, ssl, sslmode"
)
SSL_MODES = "needs one sslmode, of disable, allow, prefer, require, verify-ca, verify-full"
NOT_STORE = "is not of the form memory://, redis://… or valkey://…"
NOT_HOST = "entry 1 is not a host name or address without port"
NOT_ORIGIN = "entry 1 is not an origin such as https://icct26.example.org"
NOT_PROXY = "entry 1 is not an IP address, or a network that has not all addresses"
TOO_SMALL = "Input should be greater than or equal to "


@pytest.mark.parametrize(
    ("variable", "text", "reason"),
    [
        ("DATABASE_URL", "sqlite:///hunter2.db", NOT_POSTGRESQL),
        ("DATABASE_URL", "sqlite+aiosqlite://hunter2", NOT_POSTGRESQL),
        ("DATABASE_URL", "mysql://u:hunter2@h/db", NOT_POSTGRESQL),
        ("DATABASE_URL", "mariadb+asyncmy://u:hunter2@h/db", NOT_POSTGRESQL),
        (
            "DATABASE_URL",
            "oracle://u:hunter2@h/db",
            "must begin with postgresql://, postgres:// or postgresql+asyncpg://",
        ),
        ("DATABASE_URL", "postgresql://u:p@h:hunter2/db", f"is not of the form {DATABASE_FORM}"),
        (
            "DATABASE_URL",
            "postgresql://u:hunter2@h",
            f"must name a host and a database, as in {DATABASE_FORM}",
        ),
        (
            "DATABASE_URL",
            "postgresql:///hunter2",
            f"must name a host and a database, as in {DATABASE_FORM}",
        ),
        ("DATABASE_URL", "postgresql://u@h/db?hunter2=1", URL_OPTIONS),
        ("DATABASE_URL", "postgresql://u@h/db?sslmode=hunter2", SSL_MODES),
        ("DATABASE_URL", "postgresql://u@h/db?sslmode=require&ssl=disable", SSL_MODES),
        ("DATABASE_URL", "postgresql://u@h/db?ssl=require&ssl=disable", SSL_MODES),
        ("RATE_LIMIT_STORAGE", "memcached://hunter2", NOT_STORE),
        ("RATE_LIMIT_STORAGE", "redis://", NOT_STORE),
        ("CLOUDINARY_URL", "https://hunter2", "is not of the form cloudinary://KEY:SECRET@CLOUD"),
        ("ALLOWED_HOSTS", "*", NOT_HOST),
        ("ALLOWED_HOSTS", "hunter2:8000", NOT_HOST),
        ("ALLOWED_HOSTS", "ok.org, https://hunter2", NOT_HOST.replace("1", "2")),
        ("CORS_ORIGINS", "hunter2.org", NOT_ORIGIN),
        ("CORS_ORIGINS", "https://hunter2.org/path", NOT_ORIGIN),
        ("TRUSTED_PROXIES", "*", NOT_PROXY),
        ("TRUSTED_PROXIES", "0.0.0.0/0", NOT_PROXY),
        ("TRUSTED_PROXIES", "::/0", NOT_PROXY),
        ("TRUSTED_PROXIES", "hunter2", NOT_PROXY),
        (
            "REQUIRED_DOCUMENTS",
            "PHOTO,HUNTER2",
            f"entry 2 is not one of {', '.join((*FULL_SET, 'PHOTO'))}",
        ),
        ("REQUIRED_DOCUMENTS", "[7]", "Input should be a valid string"),
        (
            "ENVIRONMENT",
            "hunter2",
            "Input should be 'development', 'test', 'staging' or 'production'",
        ),
        (
            "LOG_LEVEL",
            "hunter2",
            "Input should be 'DEBUG', 'INFO', 'WARNING', 'ERROR' or 'CRITICAL'",
        ),
        (
            "PORT",
            "hunter2",
            "Input should be a valid integer, unable to parse string as an integer",
        ),
        ("PORT", "65536", "Input should be less than or equal to 65535"),
        ("PORT", "0", f"{TOO_SMALL}1"),
        ("DATABASE_POOL_SIZE", "0", f"{TOO_SMALL}1"),
        ("DATABASE_MAX_OVERFLOW", "-1", f"{TOO_SMALL}0"),
        ("REQUEST_TIMEOUT", "0", f"{TOO_SMALL}1"),
        ("MAX_REQUEST_SIZE", "1", f"{TOO_SMALL}1024"),
        ("RATE_LIMIT_REQUESTS", "0", f"{TOO_SMALL}1"),
        ("TOURNAMENT_CAPACITY", "0", f"{TOO_SMALL}1"),
        ("IDEMPOTENCY_HOURS", "0", f"{TOO_SMALL}1"),
        ("LOG_FILE_BACKUPS", "0", f"{TOO_SMALL}1"),
        (
            "ENABLE_COMPRESSION",
            "hunter2",
            "Input should be a valid boolean, unable to interpret input",
        ),
    ],
)
def test_invalid_value_is_reported_by_name_without_the_value(problems, variable, text, reason):
    reported = problems(**{variable: text})

    assert reported == [f"{variable}: {reason}"]
    assert "hunter2" not in reported[0].lower()


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_deployed_service_reports_every_missing_variable(problems, environment):
    assert problems(ENVIRONMENT=environment) == [
        f"DATABASE_URL: {REQUIRED}",
        f"SECRET_KEY: {REQUIRED}",
        f"ALLOWED_HOSTS: {REQUIRED}",
        f"TRUSTED_PROXIES: {REQUIRED}: addresses, networks or the word none",
    ]


@pytest.mark.parametrize(
    "secret",
    [
        "change-me",
        "change-me-change-me-change-me-change-me",
        "CHANGE_THIS_q7Jd0vX2mLr9TbWc5ZkNs8HyPf",
        "your-secret-key-here-q7Jd0vX2mLr9TbWc5Z",
        "a" * 64,
        DEPLOYED["SECRET_KEY"][:31],
    ],
)
@pytest.mark.parametrize("variable", ["SECRET_KEY", "SECRET_KEY_PREVIOUS"])
def test_deployed_service_refuses_a_guessable_secret(problems, variable, secret):
    reported = problems(ENVIRONMENT="production", **DEPLOYED | {variable: secret})

    assert reported == [f"{variable}: {WEAK_SECRET}"]


NOT_HTTPS = "CORS_ORIGINS: must list https:// origins in production, not http:// and not *"
ANY_ORIGIN = "must not be * together with CORS_CREDENTIALS: any web page could act for its visitor"
ACCOUNT_VARIABLES = "CLOUDINARY_CLOUD_NAME, CLOUDINARY_API_KEY, CLOUDINARY_API_SECRET"
NOT_SHORTER = "must be shorter than DATABASE_STATEMENT_TIMEOUT_SECONDS"
ONLY_TOGETHER = "works only together with CLOUDINARY_API_KEY and CLOUDINARY_API_SECRET"
SINGLE_PROCESS = "works with one process only: several would rotate the file against each other"
SHARED_STORE = "must be redis:// or valkey:// if WORKERS is above 1: each would count by itself"
CLOUDINARY_ACCOUNT = {
    "CLOUDINARY_CLOUD_NAME": "c",
    "CLOUDINARY_API_KEY": "k",
    "CLOUDINARY_API_SECRET": "s",
}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        (
            {"CORS_ORIGINS": "*", "CORS_CREDENTIALS": "true"},
            [f"CORS_ORIGINS: {ANY_ORIGIN}"],
        ),
        (
            DEPLOYED | {"ENVIRONMENT": "production", "CORS_ORIGINS": "http://icct26.org"},
            [NOT_HTTPS],
        ),
        (
            DEPLOYED
            | {"ENVIRONMENT": "production", "CORS_ORIGINS": "*", "CORS_CREDENTIALS": "true"},
            [NOT_HTTPS, f"CORS_ORIGINS: {ANY_ORIGIN}"],
        ),
        (
            {"DATABASE_LOCK_TIMEOUT_SECONDS": "30"},
            [
                f"DATABASE_LOCK_TIMEOUT_SECONDS: {NOT_SHORTER}",
            ],
        ),
        (
            {"MAX_REQUEST_SIZE": "2048"},
            ["MAX_JSON_SIZE: must not be larger than MAX_REQUEST_SIZE"],
        ),
        (
            {"CLOUDINARY_API_KEY": "k"},
            [
                f"CLOUDINARY_CLOUD_NAME: {ONLY_TOGETHER}",
            ],
        ),
        (
            CLOUDINARY_ACCOUNT | {"CLOUDINARY_URL": "cloudinary://k:s@c"},
            [f"CLOUDINARY_URL: names the account already: leave {ACCOUNT_VARIABLES} out"],
        ),
        (
            {"SMTP_HOST": "mail.example.org", "SMTP_USERNAME": "u"},
            ["SMTP_USERNAME: works only together with SMTP_PASSWORD"],
        ),
        (
            {"WORKERS": "2", "LOG_FILE": "service.log"},
            [f"LOG_FILE: {SINGLE_PROCESS}"],
        ),
        (
            DEPLOYED | {"ENVIRONMENT": "staging", "WORKERS": "2"},
            [f"RATE_LIMIT_STORAGE: {SHARED_STORE}"],
        ),
        (
            DEPLOYED
            | {
                "ENVIRONMENT": "staging",
                "WORKERS": "2",
                "RATE_LIMIT_STORAGE": "valkey://127.0.0.1:1",
                "SMTP_USERNAME": "u",
                "SMTP_PASSWORD": "p",
            },
            ["SMTP_HOST: is required by SMTP_USERNAME"],
        ),
        (
            {"SMTP_USERNAME": "u", "SMTP_PASSWORD": "p"},
            ["SMTP_HOST: is required by SMTP_USERNAME"],
        ),
    ],
)
def test_unsafe_combination_is_refused(problems, variables, expected):
    assert problems(**variables) == expected


def test_all_problems_are_reported_in_separate_lines(monkeypatch):
    with pytest.raises(SettingsError) as raised:
        load_settings_from(
            monkeypatch,
            ENVIRONMENT="production",
            PORT="x",
            LOG_LEVEL="loud",
            DATABASE_URL="sqlite://",
        )

    assert str(raised.value).splitlines() == raised.value.problems
    assert [line.partition(":")[0] for line in raised.value.problems] == [
        "PORT",
        "DATABASE_URL",
        "LOG_LEVEL",
        "SECRET_KEY",
        "ALLOWED_HOSTS",
        "TRUSTED_PROXIES",
    ]


def test_invalid_environment_does_not_hide_other_problems(problems):
    reported = problems(ENVIRONMENT="prod", PORT="x")

    assert [line.partition(":")[0] for line in reported] == ["ENVIRONMENT", "PORT"]


def test_combination_with_an_invalid_value_is_not_checked(problems):
    reported = problems(DATABASE_STATEMENT_TIMEOUT_SECONDS="x", DATABASE_LOCK_TIMEOUT_SECONDS="60")

    assert [line.partition(":")[0] for line in reported] == ["DATABASE_STATEMENT_TIMEOUT_SECONDS"]


def test_invalid_value_under_an_old_name_is_reported_under_the_new_name(problems):
    assert problems(SMTP_SERVER="x" * 201) == [
        "SMTP_HOST: String should have at most 200 characters"
    ]
