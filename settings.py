"""Every setting of the service, read once from the environment and `.env` and checked together."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import AliasChoices, Field, SecretStr

from config import fields, reference
from config import secret_key as secret_keys
from config.base import CheckedSettings, CombinationRule, SettingsError, by_environment
from config.database_url import asyncpg_url
from observability.logging_setup import configure_logging

__all__ = [
    "Settings",
    "SettingsError",
    "configure_logging_from",
    "ensure_secret_key",
    "env_example",
    "load_settings",
    "settings_reference",
]

GROUPS = {
    "environment": "Service",
    "database_url": "Database",
    "tournament_capacity": "Registration",
    "request_timeout_seconds": "Limits",
    "secret_key": "Security",
    "log_level": "Logging",
    "document_store": "Documents",
    "cloudinary_url": "Outside services",
    "metrics_token": "Monitoring",
}
LOCAL = ("localhost", "127.0.0.1", "[::1]")
KNOWN_SECRET = re.compile(r"change.?(me|this)|your.?secret|default|example|insecure", re.IGNORECASE)
WEAK_SECRET = f"needs {secret_keys.MIN_LENGTH} random characters or more and no well-known default"
REQUIRED_WHEN_DEPLOYED = "is required in staging and production"


class Settings(CheckedSettings):
    """Raises SettingsError with every problem, also when it is constructed directly."""

    environment: fields.Environment = "development"
    """development, test, staging or production; other defaults follow it."""
    host: fields.Text = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for all, as in a container."""
    port: fields.Port = 8000
    """TCP port to listen on."""
    data_dir: fields.FilePath = Path("data")
    """Folder of the embedded database, of documents and of the generated secret."""
    app_title: fields.Text = "ICCT26 Registration"
    """Name of the service as it shows itself."""
    app_version: fields.Text = "0.1.0"
    """Version of the service as it shows itself."""
    enable_compression: fields.Flag = True
    """Compress answers for clients that ask for it."""
    workers: Annotated[int, fields.unit("processes", 1, 64)] = 1
    """Processes that serve together, each with connections of its own to the database."""
    outbox_in_server: fields.Flag = True
    """Servers move and delete files, and prune; false leaves it to `cli.py worker` and `prune`."""
    shutdown_grace_seconds: fields.Seconds = 30
    """How long running requests may take to finish after a stop signal."""
    shutdown_notice_seconds: Annotated[int, fields.unit("seconds", 0, 300)] = Field(
        default_factory=by_environment(deployed=5, development=0, test=0)
    )
    """How long new connections are still taken after it, while /readyz says 503."""

    database_url: fields.DatabaseUrl | None = None
    """postgresql://user:password@host/name?sslmode=require; without it the embedded database."""
    database_pool_size: Annotated[int, fields.unit("connections", 1, 500)] = Field(
        default_factory=by_environment(deployed=20, development=5, test=5)
    )
    """Connections that a process keeps: a quarter for single reads, half as many to register."""
    database_max_overflow: Annotated[int, fields.unit("connections", 0, 500)] = Field(
        default_factory=by_environment(deployed=10, development=2, test=0)
    )
    """Connections above the pool that one process opens under load."""
    database_pool_recycle_seconds: fields.Seconds = 3_600
    """Age at which a connection is replaced."""
    database_connect_timeout_seconds: fields.Seconds = 5
    """How long opening a connection may take."""
    database_statement_timeout_seconds: fields.Seconds = 30
    """How long the database works on one statement."""
    database_lock_timeout_seconds: fields.Seconds = 5
    """How long a statement waits for a lock, and a registration in all; shorter than the above."""
    database_idle_transaction_timeout_seconds: fields.Seconds = 30
    """After how long the database ends the transaction of a server that vanished."""
    database_keep_alive_seconds: Annotated[int, fields.unit("seconds", 0, 86_400)] = 600
    """Pause between two signs of life to a serverless database; 0 sends none."""
    database_retry_attempts: Annotated[int, fields.unit("attempts", 1, 10)] = 3
    """How often one unit of work is tried when the connection or a lock was lost."""
    database_pgbouncer: fields.Flag = False
    """The database is behind pgbouncer in transaction mode: prepare no statements."""

    tournament_capacity: Annotated[int, fields.unit("teams", 1, 10_000)] = 16
    """Places of the tournament that an empty database gets; used once, then the row counts."""
    required_documents: fields.Documents = Field(
        default_factory=by_environment(deployed=fields.DOCUMENTS[:5], development=(), test=())
    )
    """Documents that the tournament of an empty database asks for; used once, or none."""
    idempotency_hours: Annotated[int, fields.unit("hours", 1, 720)] = 24
    """How long the answer to an idempotency key is remembered."""

    request_timeout_seconds: fields.Seconds = Field(
        60, validation_alias=AliasChoices("REQUEST_TIMEOUT")
    )
    """How long one request may take."""
    header_timeout_seconds: fields.Seconds = 10
    """How long the headers of a request may take to arrive."""
    keep_alive_seconds: fields.Seconds = 75
    """How long an idle connection stays open; longer than the proxy in front keeps it."""
    receive_timeout_seconds: fields.Seconds = 10
    """How long the next piece of a body may take to arrive; files have UPLOAD_STALL_SECONDS."""
    max_request_size_bytes: fields.Bytes = Field(
        10 << 20, validation_alias=AliasChoices("MAX_REQUEST_SIZE")
    )
    """Largest body of any request. Files have 5 MiB at most, GraphQL requests MAX_JSON_SIZE."""
    max_json_size_bytes: fields.Bytes = Field(
        256 << 10, validation_alias=AliasChoices("MAX_JSON_SIZE")
    )
    """Largest body of a GraphQL request; at most MAX_REQUEST_SIZE."""
    enable_rate_limiting: fields.Flag = True
    """false lifts the limits per client, but for sign-ins and UPLOAD_BYTES_PER_CLIENT."""
    rate_limit_storage: fields.RateStore = SecretStr("memory://")
    """Where finer counts are kept: memory:// of each process, or redis:// or valkey:// for all."""
    rate_limit_all: Annotated[int, fields.unit("requests per minute", 1, 10_000_000)] = 600
    """Requests of one client, five minutes' worth at once; always counted by each process alone."""
    rate_limit_requests: Annotated[int, fields.unit("mutations per minute", 1, 100_000)] = 30
    """Mutations of one client, counted in RATE_LIMIT_STORAGE; RATE_LIMIT_ALL bounds them too."""
    rate_limit_queries: Annotated[int, fields.unit("queries per minute", 1, 100_000)] = 300
    """Queries of one client, counted in RATE_LIMIT_STORAGE; RATE_LIMIT_ALL bounds them too."""
    rate_limit_uploads: Annotated[int, fields.unit("uploads per 10 minutes", 1, 100_000)] = 1_500
    """Uploads that one client opens, and those that it begins to send: two for each file."""
    rate_limit_sign_ins: Annotated[int, fields.unit("attempts per 15 minutes", 1, 100_000)] = 10
    """Failed sign-ins per client, ten times as many per account; never lifted."""

    secret_key: fields.Secret | None = None
    """Signs the teams' tokens: at least 32 random characters. Made under DATA_DIR if local."""
    secret_key_previous: fields.Secret | None = None
    """The secret before the present one, still accepted while it is being changed."""
    allowed_hosts: fields.Hosts = Field(
        default_factory=by_environment(deployed=(), development=LOCAL, test=(*LOCAL, "testserver"))
    )
    """Host names that requests may ask for, never *. Required in staging and production."""
    trusted_proxies: fields.Proxies = ()
    """Addresses or networks whose X-Forwarded-For counts, or none. Required when deployed."""
    cors_origins: fields.Origins = ()
    """Origins of web pages that may call the service. Listed one by one and https in production."""
    cors_credentials: fields.Flag = False
    """Browsers may send cookies from those origins; not together with *."""
    cors_headers: fields.HeaderNames = ()
    """Request headers that those pages may send besides those that the service knows."""
    session_idle_hours: Annotated[int, fields.unit("hours", 1, 168)] = 12
    """After how long without a request an organiser has to sign in again."""
    session_max_days: Annotated[int, fields.unit("days", 1, 90)] = 7
    """After how long an organiser has to sign in again in any case."""
    admin_allowed_networks: fields.Networks = ()
    """Addresses or networks from which organisers may sign in and work; none: from anywhere."""
    anonymous_introspection: fields.Flag = Field(
        default_factory=by_environment(deployed=False, development=True, test=True)
    )
    """Callers who are not signed in may read the schema and are told what they may have meant."""
    compiled_execution: fields.Flag = True
    """Objects of an answer are completed by generated functions; the answers are the same."""
    rendered_plans: fields.Flag = True
    """PostgreSQL prints teams as JSON where it can; the answers are the same."""
    trusted_documents: fields.FilePath | None = None
    """JSON file of documents by their names; without a sign-in only these may be run."""

    log_level: fields.Level = "INFO"
    """DEBUG, INFO, WARNING, ERROR or CRITICAL."""
    log_file: fields.FilePath | None = None
    """File that the log is also written to."""
    log_file_max_bytes: fields.Bytes = 10 << 20
    """Size at which the file is set aside and a new one begun."""
    log_file_backups: Annotated[int, fields.unit("files", 1, 100)] = 5
    """How many files that were set aside are kept."""

    document_store: fields.Store | None = None
    """Where new documents go. Without it Cloudinary where there is an account, else a folder."""
    document_dir: fields.FilePath | None = None
    """Folder of the documents; without it `documents` under DATA_DIR."""
    upload_dir: fields.FilePath | None = None
    """Where bytes wait until a file is whole; shared by all servers. Else under DATA_DIR."""
    upload_bytes_per_client: Annotated[int, fields.unit("bytes", 1 << 20, 1 << 40)] = 4 << 30
    """Unfinished uploads of one client, as announced. Enough for 20 teams that send at once."""
    upload_stall_seconds: fields.Seconds = 30
    """How long a transfer, or the reader of any answer, may stand still before it is cut off."""
    upload_ticket_hours: Annotated[int, fields.unit("hours", 1, 24)] = 2
    """How long a place for one file stays open."""
    inspection_processes: Annotated[int, fields.unit("processes", 1, 16)] = 2
    """Files that one server looks into at a time; one client has all but one of them at most."""
    inspection_seconds: Annotated[int, fields.unit("seconds", 1, 20)] = 10
    """CPU that looking into one file may take; three times as long by the clock."""
    inspection_memory_bytes: Annotated[int, fields.unit("bytes", 256 << 20, 4 << 30)] = 512 << 20
    """Memory that looking into one file may take, with that of the program."""
    unclaimed_upload_hours: Annotated[int, fields.unit("hours", 3, 720)] = 24
    """How long a file is kept that no form names; longer than UPLOAD_TICKET_HOURS."""
    link_minutes: Annotated[int, fields.unit("minutes", 1, 1_440)] = 10
    """How long a link shows a document."""
    retention_identity_days: Annotated[int, fields.unit("days", 1, 3_650)] = 180
    """How long identity proofs and subscription cards are kept after registration."""
    retention_letter_days: Annotated[int, fields.unit("days", 1, 3_650)] = 365
    """How long pastors' letters are kept after registration."""
    retention_payment_days: Annotated[int, fields.unit("days", 1, 3_650)] = 1_095
    """How long payment receipts are kept after registration."""
    retention_photo_days: Annotated[int, fields.unit("days", 1, 3_650)] = 365
    """How long photos are kept after registration."""

    cloudinary_url: fields.CloudinaryUrl | None = None
    """Account for documents, or the next three."""
    cloudinary_cloud_name: fields.Text | None = None
    """Account for documents."""
    cloudinary_api_key: fields.Secret | None = None
    """Key of that account."""
    cloudinary_api_secret: fields.Secret | None = None
    """Secret of that account."""
    cloudinary_timeout_seconds: fields.Seconds = 30
    """How long one call to Cloudinary may take."""
    outside_attempts: Annotated[int, fields.unit("attempts", 1, 10)] = 3
    """How often one call to an outside service is tried."""
    breaker_failures: Annotated[int, fields.unit("attempts", 1, 1_000)] = 5
    """Failed attempts within BREAKER_WINDOW_SECONDS after which a service is left alone."""
    breaker_window_seconds: fields.Seconds = 60
    """How long a failed attempt counts; a success in between changes nothing."""
    breaker_open_seconds: fields.Seconds = 60
    """How long a service is left alone before one call tries it again."""
    smtp_host: fields.Text | None = Field(
        None, validation_alias=AliasChoices("SMTP_HOST", "SMTP_SERVER")
    )
    """Server that mails are sent through. Checked at start; not used by this version."""
    smtp_port: fields.Port = 587
    """Port of that server. Checked at start; not used by this version."""
    smtp_username: fields.Text | None = None
    """Account at that server. Checked at start; not used by this version."""
    smtp_password: fields.Secret | None = None
    """Password of that account. Checked at start; not used by this version."""
    smtp_from: fields.MailAddress | None = None
    """Sender of mails. Checked at start; not used by this version."""

    metrics_token: fields.Secret | None = None
    """Bearer token of /metrics; without it only this machine may read them."""
    otel_exporter_otlp_endpoint: fields.HttpAddress | None = None
    """Where spans are sent to by OTLP over HTTP. Needs the extra `otel`."""

    @property
    def sqlalchemy_url(self) -> str | None:
        """DATABASE_URL for the asyncpg dialect, password included; None without a database."""
        return asyncpg_url(self.database_url.get_secret_value()) if self.database_url else None

    @property
    def active_document_store(self) -> str:
        """`folder` or `cloudinary`."""
        return self.document_store or ("cloudinary" if self.cloudinary_account else "folder")

    @property
    def cloudinary_account(self) -> str | None:
        """The account as a cloudinary:// address, secret included."""
        if self.cloudinary_url is not None:
            return self.cloudinary_url.get_secret_value()
        key, secret = self.cloudinary_api_key, self.cloudinary_api_secret
        if self.cloudinary_cloud_name is None or key is None or secret is None:
            return None
        pair = ":".join(quote(one.get_secret_value(), safe="") for one in (key, secret))
        return f"cloudinary://{pair}@{self.cloudinary_cloud_name}"

    @property
    def shares_rate_limits(self) -> bool:
        """Whether processes count together."""
        return not self.rate_limit_storage.get_secret_value().startswith("memory:")

    @property
    def graphiql(self) -> bool:
        return self.environment == "development"

    def combinations(self) -> Iterator[CombinationRule]:
        if self.environment in ("staging", "production"):
            yield from self._deployed()
        if self.environment == "production":
            yield rule(
                any(not one.startswith("https://") for one in self.cors_origins),
                "must list https:// origins in production, not http:// and not *",
                "CORS_ORIGINS",
            )
        yield rule(
            "*" in self.cors_origins and self.cors_credentials,
            "must not be * together with CORS_CREDENTIALS: any page could act for its visitor",
            "CORS_ORIGINS",
            "CORS_CREDENTIALS",
        )
        yield rule(
            self.database_lock_timeout_seconds >= self.database_statement_timeout_seconds,
            "must be shorter than DATABASE_STATEMENT_TIMEOUT_SECONDS",
            "DATABASE_LOCK_TIMEOUT_SECONDS",
            "DATABASE_STATEMENT_TIMEOUT_SECONDS",
        )
        yield rule(
            self.max_json_size_bytes > self.max_request_size_bytes,
            "must not be larger than MAX_REQUEST_SIZE",
            "MAX_JSON_SIZE",
            "MAX_REQUEST_SIZE",
        )
        yield rule(
            self.workers > 1 and self.log_file is not None,
            "works with one process only: several would set the file aside under each other",
            "LOG_FILE",
            "WORKERS",
        )
        yield from self._outside()

    def _deployed(self) -> Iterator[CombinationRule]:
        yield rule(self.database_url is None, REQUIRED_WHEN_DEPLOYED, "DATABASE_URL")
        yield rule(self.secret_key is None, REQUIRED_WHEN_DEPLOYED, "SECRET_KEY")
        yield rule(_is_weak(self.secret_key), WEAK_SECRET, "SECRET_KEY")
        yield rule(_is_weak(self.secret_key_previous), WEAK_SECRET, "SECRET_KEY_PREVIOUS")
        yield rule(not self.allowed_hosts, REQUIRED_WHEN_DEPLOYED, "ALLOWED_HOSTS")
        yield rule(
            "trusted_proxies" not in self.model_fields_set,
            f"{REQUIRED_WHEN_DEPLOYED}: addresses, networks or the word none",
            "TRUSTED_PROXIES",
        )
        yield rule(
            self.workers > 1 and not self.shares_rate_limits,
            "needs redis:// or valkey:// where WORKERS is above 1: each would count by itself",
            "RATE_LIMIT_STORAGE",
            "WORKERS",
        )

    def _outside(self) -> Iterator[CombinationRule]:
        names = ("CLOUDINARY_CLOUD_NAME", "CLOUDINARY_API_KEY", "CLOUDINARY_API_SECRET")
        parts = (self.cloudinary_cloud_name, self.cloudinary_api_key, self.cloudinary_api_secret)
        given = sum(part is not None for part in parts)
        yield rule(given in (1, 2), f"works only together with {names[1]} and {names[2]}", *names)
        yield rule(
            given > 0 and self.cloudinary_url is not None,
            f"names the account already: leave {', '.join(names)} out",
            "CLOUDINARY_URL",
            *names,
        )
        yield rule(
            self.document_store == "cloudinary" and self.cloudinary_account is None,
            "needs CLOUDINARY_URL, or the three variables of the account, for cloudinary",
            "DOCUMENT_STORE",
            "CLOUDINARY_URL",
        )
        yield rule(
            self.unclaimed_upload_hours <= self.upload_ticket_hours,
            "must be longer than UPLOAD_TICKET_HOURS",
            "UNCLAIMED_UPLOAD_HOURS",
            "UPLOAD_TICKET_HOURS",
        )
        yield rule(
            (self.smtp_username is None) != (self.smtp_password is None),
            "works only together with SMTP_PASSWORD",
            "SMTP_USERNAME",
            "SMTP_PASSWORD",
        )
        yield rule(
            self.smtp_host is None and self.smtp_username is not None,
            "is needed by SMTP_USERNAME",
            "SMTP_HOST",
            "SMTP_USERNAME",
        )


def load_settings(env_file: Path | None = Path(".env"), **overrides: Any) -> Settings:
    """What the environment and `env_file` say; `overrides` by field name win."""
    try:
        return Settings(_env_file=env_file, **overrides)
    except UnicodeDecodeError:
        raise SettingsError([f"{env_file}: is not UTF-8 text"]) from None


def ensure_secret_key(data_dir: Path) -> str:
    """The secret kept in `data_dir`, made at the first call. Raises SettingsError."""
    try:
        return secret_keys.load_or_create(data_dir)
    except (OSError, ValueError) as error:
        raise SettingsError([f"DATA_DIR: {error}"]) from None


def env_example() -> str:
    return reference.env_example(Settings, GROUPS)


def configure_logging_from(settings: Settings) -> None:
    configure_logging(
        level=settings.log_level,
        environment=settings.environment,
        file=settings.log_file,
        file_max_bytes=settings.log_file_max_bytes,
        file_backups=settings.log_file_backups,
    )


def settings_reference() -> str:
    return reference.settings_reference(Settings, GROUPS)


def rule(is_broken: bool, reason: str, *names: str) -> CombinationRule:
    return CombinationRule(is_broken=is_broken, reason=reason, names=names)


def _is_weak(secret: SecretStr | None) -> bool:
    if secret is None:
        return False
    text = secret.get_secret_value()
    few = len(set(text)) < secret_keys.MIN_LENGTH // 4
    return len(text) < secret_keys.MIN_LENGTH or few or bool(KNOWN_SECRET.search(text))
