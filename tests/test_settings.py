import tomllib
from functools import partial
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

import settings as module
from config import reference
from settings import Settings, SettingsError, env_example, load_settings, settings_reference
from tests.environment import DEPLOYED, FULL_SET, load_settings_from, settings_problems

ROOT = Path(module.__file__).parent


@pytest.fixture
def load(monkeypatch):
    return partial(load_settings_from, monkeypatch)


@pytest.fixture
def problems(monkeypatch):
    return partial(settings_problems, monkeypatch)


def test_development_requires_no_variable(load):
    settings = load()

    assert settings.environment == "development"
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.data_dir == Path("data")
    assert settings.database_url is None
    assert settings.sqlalchemy_url is None
    assert settings.secret_key is None
    assert settings.graphiql is True


LOCAL = ("localhost", "127.0.0.1", "[::1]")
DEPLOYED_DEFAULTS = (20, 10, False, FULL_SET, ("api.icct26.org",), False)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ("development", (5, 2, True, (), LOCAL, True)),
        ("test", (5, 0, True, (), (*LOCAL, "testserver"), False)),
        ("staging", DEPLOYED_DEFAULTS),
        ("production", DEPLOYED_DEFAULTS),
    ],
)
def test_defaults_follow_the_environment(load, environment, expected):
    required = DEPLOYED if environment in {"staging", "production"} else {}

    settings = load(ENVIRONMENT=environment, **required)

    assert expected == (
        settings.database_pool_size,
        settings.database_max_overflow,
        settings.anonymous_introspection,
        settings.required_documents,
        settings.allowed_hosts,
        settings.graphiql,
    )


def test_variable_overrides_the_default_of_the_environment(load):
    settings = load(
        ENVIRONMENT="production",
        DATABASE_POOL_SIZE="3",
        REQUIRED_DOCUMENTS="none",
        ANONYMOUS_INTROSPECTION="true",
        **DEPLOYED,
    )

    assert settings.database_pool_size == 3
    assert settings.required_documents == ()
    assert settings.anonymous_introspection is True


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        ("ENVIRONMENT", "TEST", "environment", "test"),
        ("REQUEST_TIMEOUT", "90", "request_timeout_seconds", 90),
        ("REQUEST_TIMEOUT_SECONDS", "90", "request_timeout_seconds", 90),
        ("MAX_REQUEST_SIZE", "300000", "max_request_size_bytes", 300_000),
        ("MAX_JSON_SIZE", "2048", "max_json_size_bytes", 2_048),
        ("RATE_LIMIT_ALL", "601", "rate_limit_all", 601),
        ("RATE_LIMIT_REQUESTS", "31", "rate_limit_requests", 31),
        ("RATE_LIMIT_QUERIES", "301", "rate_limit_queries", 301),
        ("RATE_LIMIT_UPLOADS", "1501", "rate_limit_uploads", 1_501),
        ("RATE_LIMIT_SIGN_INS", "11", "rate_limit_sign_ins", 11),
        ("ENABLE_RATE_LIMITING", "false", "enable_rate_limiting", False),
        ("ENABLE_COMPRESSION", "0", "enable_compression", False),
        ("LOG_LEVEL", "debug", "log_level", "DEBUG"),
        ("LOG_FILE", "logs/icct.log", "log_file", Path("logs/icct.log")),
        ("APP_TITLE", "ICCT27", "app_title", "ICCT27"),
        ("APP_VERSION", "9.9", "app_version", "9.9"),
        ("TOURNAMENT_CAPACITY", "24", "tournament_capacity", 24),
        ("DATABASE_KEEP_ALIVE_SECONDS", "0", "database_keep_alive_seconds", 0),
        ("SMTP_HOST", "mail.example.org", "smtp_host", "mail.example.org"),
        ("SMTP_SERVER", "mail.example.org", "smtp_host", "mail.example.org"),
        ("smtp_server", "mail.example.org", "smtp_host", "mail.example.org"),
        ("CLOUDINARY_URL", "cloudinary://k:s@c", "cloudinary_url", SecretStr("cloudinary://k:s@c")),
        ("SECRET_KEY", "short", "secret_key", SecretStr("short")),
        ("PORT", "", "port", 8000),
        ("HOST", "[::1]", "host", "::1"),
        ("HOST", "::1", "host", "::1"),
        ("HOST", "api.example.org", "host", "api.example.org"),
    ],
)
def test_variable_sets_its_field(load, variable, text, field, value):
    assert getattr(load(**{variable: text}), field) == value


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        ("REQUIRED_DOCUMENTS", "photo, PHOTO ,group_photo,", "required_documents", 0),
        ("REQUIRED_DOCUMENTS", '["PHOTO", "GROUP_PHOTO"]', "required_documents", 0),
        ("REQUIRED_DOCUMENTS", "None", "required_documents", ()),
        ("REQUIRED_DOCUMENTS", "[]", "required_documents", ()),
        ("ALLOWED_HOSTS", "[::1],API.icct26.org", "allowed_hosts", ("[::1]", "api.icct26.org")),
        ("ALLOWED_HOSTS", "*.icct26.org", "allowed_hosts", ("*.icct26.org",)),
        ("TRUSTED_PROXIES", "10.0.0.7, 10.1.2.3/8", "trusted_proxies", ("10.0.0.7", "10.0.0.0/8")),
        ("TRUSTED_PROXIES", "FD00::1", "trusted_proxies", ("fd00::1",)),
        ("CORS_ORIGINS", "*", "cors_origins", ("*",)),
        (
            "CORS_ORIGINS",
            "HTTPS://icct26.org/,http://localhost:5173",
            "cors_origins",
            ("https://icct26.org", "http://localhost:5173"),
        ),
        (
            "CORS_ORIGINS",
            "https://icct26.org:443,http://icct26.org:80,http://icct26.org:443",
            "cors_origins",
            ("https://icct26.org", "http://icct26.org", "http://icct26.org:443"),
        ),
        ("CORS_HEADERS", "X-App, sentry-trace", "cors_headers", ("X-App", "sentry-trace")),
    ],
)
def test_list_is_parsed_from_commas_or_json(load, variable, text, field, value):
    expected = ("PHOTO", "GROUP_PHOTO") if value == 0 else value

    assert getattr(load(**{variable: text}), field) == expected


def test_complete_account_of_an_outside_service_is_accepted(load):
    settings = load(
        SMTP_SERVER="mail.example.org",
        SMTP_USERNAME="u",
        SMTP_PASSWORD="p",
        CLOUDINARY_CLOUD_NAME="c",
        CLOUDINARY_API_KEY="k",
        CLOUDINARY_API_SECRET="s",
    )

    assert settings.cloudinary_api_secret == SecretStr("s")
    assert settings.smtp_password == SecretStr("p")


def test_representation_hides_secrets(load):
    settings = load(
        DATABASE_URL="postgresql://u:hunter2@h/db",
        SECRET_KEY="hunter2",
        SECRET_KEY_PREVIOUS="hunter2",
        RATE_LIMIT_STORAGE="redis://:hunter2@h",
        CLOUDINARY_URL="cloudinary://k:hunter2@c",
        SMTP_HOST="h",
        SMTP_USERNAME="u",
        SMTP_PASSWORD="hunter2",
    )

    assert "hunter2" not in f"{settings!r} {settings!s} {settings.model_dump()}"


def test_database_url_is_translated_for_asyncpg(load):
    settings = load(DATABASE_URL="postgres://u:p@h/db?sslmode=require")

    assert settings.sqlalchemy_url == "postgresql+asyncpg://u:p@h/db?ssl=require"


def test_settings_are_frozen(load):
    settings = load()

    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 9000


def test_unknown_variable_of_the_environment_is_ignored(load):
    assert load(PORTS="9000", HOME_SWEET_HOME="x").port == 8000


def test_override_wins_over_every_name_of_a_variable(load, monkeypatch):
    monkeypatch.setenv("REQUEST_TIMEOUT", "10")
    monkeypatch.setenv("PORT", "9000")

    settings = load_settings(request_timeout_seconds=20, port=9001, database_url=None)

    assert (settings.request_timeout_seconds, settings.port) == (20, 9001)


def test_unknown_override_is_refused():
    with pytest.raises(SettingsError) as raised:
        load_settings(databse_url="hunter2", colour="red")

    assert raised.value.problems == [
        "DATABSE_URL: is not known; DATABASE_URL is",
        "COLOUR: is not known",
    ]


def test_env_file_of_the_working_directory_is_loaded(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text("PORT=9000\n", encoding="utf-8")

    assert load_settings().port == 9000


def test_environment_wins_over_the_env_file(load, tmp_path):
    env_file = tmp_path / ".env"
    env_file.write_text("PORT=9000\nREQUEST_TIMEOUT=7\nLOG_LEVEL=\n", encoding="utf-8")

    settings = load(env_file, PORT="9001")

    assert (settings.port, settings.request_timeout_seconds) == (9001, 7)
    assert settings.log_level == "INFO"


def test_misspelt_name_in_the_env_file_is_refused_and_an_unknown_name_ignored(problems, tmp_path):
    env_file = tmp_path / ".env"
    env_file.write_text("DATABSE_URL=hunter2\nCOMPOSE_PROJECT=x\n", encoding="utf-8")

    assert problems(env_file) == ["DATABSE_URL: is not known; DATABASE_URL is"]


def test_env_file_that_is_not_utf_8_is_refused(problems, tmp_path):
    env_file = tmp_path / ".env"
    env_file.write_bytes(b"PORT=\xff\xfe\n")

    assert problems(env_file) == [f"{env_file}: is not UTF-8 text"]


def test_default_version_is_the_version_of_the_project(load):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert load().app_version == project["version"]


def test_every_field_has_a_description():
    assert list(dict(reference.descriptions(Settings))) == list(Settings.model_fields)
    assert len(Settings.model_fields) >= 30


@pytest.mark.parametrize(
    ("path", "render"),
    [(".env.example", env_example), ("docs/reference/settings.md", settings_reference)],
)
def test_generated_page_is_current(path, render):
    assert (ROOT / path).read_text(encoding="utf-8") == render()


def test_unchanged_env_example_gives_the_defaults():
    assert load_settings(ROOT / ".env.example") == load_settings(None)


def test_uncommented_env_example_gives_the_defaults(tmp_path):
    text = "\n".join(
        line.removeprefix("# ")
        for line in env_example().splitlines()
        if line.startswith("# ") and line.removeprefix("# ").split("=")[0].isupper()
    )
    env_file = tmp_path / "all.env"
    env_file.write_text(text, encoding="utf-8")

    assert text.count("\n") + 1 == len(Settings.model_fields)
    assert load_settings(env_file) == load_settings(None)
