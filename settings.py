"""Settings of the service, read once from the environment and `.env`."""

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
    """Raises SettingsError with all problems, also when constructed directly."""

    environment: fields.Environment = "development"
    """development, test, staging or production; other defaults follow it."""
    host: fields.BindAddress = "127.0.0.1"
    """Address to listen on; 0.0.0.0 listens on all addresses, as in a container."""
    port: fields.Port = 8000
    """TCP port to listen on."""
    data_dir: fields.FilePath = Path("data")
    """Folder of the embedded database, of documents and of the generated secret."""
    app_title: fields.Text = "ICCT26 Registration"
    """Name of the service in its responses and pages."""
    app_version: fields.Text = "0.1.0"
    """Version of the service in its responses and pages."""
    enable_compression: fields.Flag = True
    """Compress responses for clients that accept it."""
    workers: Annotated[int, fields.unit("processes", 1, 64)] = 1
    """Number of server processes, each with its own database connections."""
    outbox_in_server: fields.Flag = True
    """Servers process the outbox and prune; false leaves this to `cli.py worker` and `prune`."""
    shutdown_grace_seconds: fields.Seconds = 30
    """Time for running requests to finish after a stop signal."""
    shutdown_notice_seconds: Annotated[int, fields.unit("seconds", 0, 300)] = Field(
        default_factory=by_environment(deployed=5, development=0, test=0)
    )
    """Time after a stop signal in which new connections are accepted and /readyz answers 503."""

    database_url: fields.DatabaseUrl | None = None
    """postgresql://user:password@host/name?sslmode=require; the embedded database if not set."""
    database_pool_size: Annotated[int, fields.unit("connections", 1, 500)] = Field(
        default_factory=by_environment(deployed=20, development=5, test=5)
    )
    """Connections of each process; of 3 or more, some serve only single reads and registrations."""
    database_max_overflow: Annotated[int, fields.unit("connections", 0, 500)] = Field(
        default_factory=by_environment(deployed=10, development=2, test=0)
    )
    """Additional connections that each process opens under load."""
    database_pool_recycle_seconds: fields.Seconds = 3_600
    """Age at which a connection is replaced."""
    database_connect_timeout_seconds: fields.Seconds = 5
    """Time limit for opening a connection."""
    database_statement_timeout_seconds: fields.Seconds = 30
    """Time limit of one statement in the database."""
    database_lock_timeout_seconds: fields.Seconds = 5
    """Time limit for lock waits, and for a whole registration; below the statement timeout."""
    database_idle_transaction_timeout_seconds: fields.Seconds = 30
    """Idle time after which the database ends the transaction of a server that vanished."""
    database_keep_alive_seconds: Annotated[int, fields.unit("seconds", 0, 86_400)] = 600
    """Pause between keep-alive statements to a serverless database; 0 sends none."""
    database_retry_attempts: Annotated[int, fields.unit("attempts", 1, 10)] = 3
    """Attempts for one unit of work after a lost connection or lock conflict."""
    database_pgbouncer: fields.Flag = False
    """Do not prepare statements; for pgbouncer in transaction mode."""

    tournament_capacity: Annotated[int, fields.unit("teams", 1, 10_000)] = 16
    """Capacity of the tournament created in an empty database; later changes have no effect."""
    required_documents: fields.Documents = Field(
        default_factory=by_environment(deployed=fields.DOCUMENTS[:5], development=(), test=())
    )
    """Documents required by the tournament of an empty database, or none; no later effect."""
    idempotency_hours: Annotated[int, fields.unit("hours", 1, 720)] = 24
    """Time for which the response to an idempotency key is stored."""

    request_timeout_seconds: fields.Seconds = Field(
        60, validation_alias=AliasChoices("REQUEST_TIMEOUT")
    )
    """Time limit of one request."""
    header_timeout_seconds: fields.Seconds = 10
    """Time limit for the headers of a request to arrive."""
    keep_alive_seconds: fields.Seconds = 75
    """Time after which an idle connection is closed; longer than in the proxy in front."""
    receive_timeout_seconds: fields.Seconds = 10
    """Time limit for the next chunk of a body to arrive; UPLOAD_STALL_SECONDS applies to files."""
    max_request_size_bytes: fields.Bytes = Field(
        10 << 20, validation_alias=AliasChoices("MAX_REQUEST_SIZE")
    )
    """Largest body of any request. Files have 5 MiB at most, GraphQL requests MAX_JSON_SIZE."""
    max_json_size_bytes: fields.Bytes = Field(
        256 << 10, validation_alias=AliasChoices("MAX_JSON_SIZE")
    )
    """Largest body of a GraphQL request; at most MAX_REQUEST_SIZE."""
    enable_rate_limiting: fields.Flag = True
    """Limit the rates of clients; false lifts all but sign-ins and UPLOAD_BYTES_PER_CLIENT."""
    rate_limit_storage: fields.RateStore = SecretStr("memory://")
    """Store of the finer counts: memory:// of each process, redis:// or valkey:// for all."""
    rate_limit_all: Annotated[int, fields.unit("requests per minute", 1, 10_000_000)] = 600
    """Requests of one client, up to five minutes' worth at once; always counted per process."""
    rate_limit_requests: Annotated[int, fields.unit("mutations per minute", 1, 100_000)] = 30
    """Mutations of one client, despite the name; RATE_LIMIT_ALL limits requests of all kinds."""
    rate_limit_queries: Annotated[int, fields.unit("queries per minute", 1, 100_000)] = 300
    """Queries of one client. RATE_LIMIT_STORAGE counts them, as mutations and uploads."""
    rate_limit_uploads: Annotated[int, fields.unit("uploads per 10 minutes", 1, 100_000)] = 1_500
    """Uploads that one client opens, and uploads that it starts to send: two for each file."""
    rate_limit_sign_ins: Annotated[int, fields.unit("attempts per 15 minutes", 1, 100_000)] = 10
    """Failed sign-ins of one client, and ten times as many for one account; always enforced."""

    secret_key: fields.Secret | None = None
    """Signing key, at least 32 random characters; generated under DATA_DIR unless deployed."""
    secret_key_previous: fields.Secret | None = None
    """The previous secret key, accepted during a rotation."""
    allowed_hosts: fields.Hosts = Field(
        default_factory=by_environment(deployed=(), development=LOCAL, test=(*LOCAL, "testserver"))
    )
    """Accepted values of the Host header, never *. Required in staging and production."""
    trusted_proxies: fields.Networks = ()
    """Proxies whose X-Forwarded-For is trusted, or none. Required in staging and production."""
    cors_origins: fields.Origins = ()
    """Origins of web pages that may call the service; only https in production, and not *."""
    cors_credentials: fields.Flag = False
    """Allow cookies from these origins; not together with *."""
    cors_headers: fields.HeaderNames = ()
    """Additional request headers that these pages may send."""
    session_idle_hours: Annotated[int, fields.unit("hours", 1, 168)] = 12
    """Idle time after which an organiser must sign in again."""
    session_max_days: Annotated[int, fields.unit("days", 1, 90)] = 7
    """Time after which an organiser must sign in again in any case."""
    admin_allowed_networks: fields.Networks = ()
    """Addresses or networks from which organisers may sign in and work; none allows all."""
    anonymous_introspection: fields.Flag = Field(
        default_factory=by_environment(deployed=False, development=True, test=True)
    )
    """Allow introspection and suggestions for anonymous callers."""
    compiled_execution: fields.Flag = True
    """Execute operations with generated code; faster, with the same responses."""
    rendered_plans: fields.Flag = True
    """Let PostgreSQL render teams as JSON where possible; faster, with the same responses."""
    trusted_documents: fields.FilePath | None = None
    """JSON file of GraphQL documents by name; anonymous callers may run only these."""

    log_level: fields.Level = "INFO"
    """DEBUG, INFO, WARNING, ERROR or CRITICAL."""
    log_file: fields.FilePath | None = None
    """Additional log file."""
    log_file_max_bytes: fields.Bytes = 10 << 20
    """Size at which the log file is rotated."""
    log_file_backups: Annotated[int, fields.unit("files", 1, 100)] = 5
    """Number of rotated log files to keep."""

    document_store: fields.Store | None = None
    """Store of new documents; if not set, Cloudinary if it has an account, else a folder."""
    document_dir: fields.FilePath | None = None
    """Folder of the documents; `documents` under DATA_DIR if not set."""
    upload_dir: fields.FilePath | None = None
    """Folder of unfinished uploads, shared by all servers; under DATA_DIR if not set."""
    upload_bytes_per_client: Annotated[int, fields.unit("bytes", 1 << 20, 1 << 40)] = 4 << 30
    """Total announced size of one client's unfinished uploads; enough for 20 teams at once."""
    upload_stall_seconds: fields.Seconds = 30
    """Time without progress after which a file transfer, or any response, is cut off."""
    upload_ticket_hours: Annotated[int, fields.unit("hours", 1, 24)] = 2
    """Time for which an upload ticket is valid."""
    inspection_processes: Annotated[int, fields.unit("processes", 1, 16)] = 2
    """Files inspected at the same time by one server; one client may use all but one."""
    inspection_seconds: Annotated[int, fields.unit("seconds", 1, 20)] = 10
    """CPU time limit for inspecting one file; the elapsed time may be three times as long."""
    inspection_memory_bytes: Annotated[int, fields.unit("bytes", 256 << 20, 4 << 30)] = 512 << 20
    """Memory limit of the process that inspects one file."""
    unclaimed_upload_hours: Annotated[int, fields.unit("hours", 3, 720)] = 24
    """Time for which a file is kept that no form refers to; longer than UPLOAD_TICKET_HOURS."""
    link_minutes: Annotated[int, fields.unit("minutes", 1, 1_440)] = 10
    """Time for which a link to a document or an export is valid."""
    retention_identity_days: Annotated[int, fields.unit("days", 1, 3_650)] = 180
    """Retention of identity proofs and subscription cards after registration."""
    retention_letter_days: Annotated[int, fields.unit("days", 1, 3_650)] = 365
    """Retention of pastors' letters after registration."""
    retention_payment_days: Annotated[int, fields.unit("days", 1, 3_650)] = 1_095
    """Retention of payment receipts after registration."""
    retention_photo_days: Annotated[int, fields.unit("days", 1, 3_650)] = 365
    """Retention of photos after registration."""
    outbox_retention_days: Annotated[int, fields.unit("days", 1, 3_650)] = 30
    """Retention of outbox messages after their delivery."""

    cloudinary_url: fields.CloudinaryUrl | None = None
    """Cloudinary account for documents; the alternative is the next three variables."""
    cloudinary_cloud_name: fields.Text | None = None
    """Cloud name of the Cloudinary account."""
    cloudinary_api_key: fields.Secret | None = None
    """API key of the Cloudinary account."""
    cloudinary_api_secret: fields.Secret | None = None
    """API secret of the Cloudinary account."""
    cloudinary_timeout_seconds: fields.Seconds = 30
    """Time limit of one call to Cloudinary."""
    outside_attempts: Annotated[int, fields.unit("attempts", 1, 10)] = 3
    """Attempts for one call to an outside service."""
    breaker_failures: Annotated[int, fields.unit("attempts", 1, 1_000)] = 5
    """Failed attempts within BREAKER_WINDOW_SECONDS that open the circuit breaker."""
    breaker_window_seconds: fields.Seconds = 60
    """Time for which a failed attempt counts; a success does not reset the count."""
    breaker_open_seconds: fields.Seconds = 60
    """Time for which the breaker stays open before it lets one call through."""
    smtp_host: fields.Text | None = Field(
        None, validation_alias=AliasChoices("SMTP_HOST", "SMTP_SERVER")
    )
    """SMTP server. Checked at start; not used by this version."""
    smtp_port: fields.Port = 587
    """Port of the SMTP server. Checked at start; not used by this version."""
    smtp_username: fields.Text | None = None
    """User name at the SMTP server. Checked at start; not used by this version."""
    smtp_password: fields.Secret | None = None
    """Password at the SMTP server. Checked at start; not used by this version."""
    smtp_from: fields.MailAddress | None = None
    """Sender address of e-mails. Checked at start; not used by this version."""

    metrics_token: fields.Secret | None = None
    """Bearer token of /metrics; if not set, only this machine may read them."""
    otel_exporter_otlp_endpoint: fields.HttpAddress | None = None
    """OTLP endpoint over HTTP that receives spans. Requires the extra `otel`."""

    @property
    def sqlalchemy_url(self) -> str | None:
        """DATABASE_URL for the asyncpg dialect, password included; None if it is not set."""
        return asyncpg_url(self.database_url.get_secret_value()) if self.database_url else None

    @property
    def active_document_store(self) -> str:
        """`folder` or `cloudinary`."""
        return self.document_store or ("cloudinary" if self.cloudinary_account else "folder")

    @property
    def cloudinary_account(self) -> str | None:
        """The account as a cloudinary:// URL, secret included; None without an account."""
        if self.cloudinary_url is not None:
            return self.cloudinary_url.get_secret_value()
        key, secret = self.cloudinary_api_key, self.cloudinary_api_secret
        if self.cloudinary_cloud_name is None or key is None or secret is None:
            return None
        credentials = ":".join(quote(part.get_secret_value(), safe="") for part in (key, secret))
        return f"cloudinary://{credentials}@{self.cloudinary_cloud_name}"

    @property
    def shares_rate_limits(self) -> bool:
        """Whether all processes use the same counts."""
        return not self.rate_limit_storage.get_secret_value().startswith("memory:")

    @property
    def is_deployed(self) -> bool:
        """Whether this is staging or production."""
        return self.environment in ("staging", "production")

    @property
    def graphiql(self) -> bool:
        return self.environment == "development"

    def combination_rules(self) -> Iterator[CombinationRule]:
        if self.is_deployed:
            yield from self._deployment_rules()
        if self.environment == "production":
            yield rule(
                any(not origin.startswith("https://") for origin in self.cors_origins),
                "must list https:// origins in production, not http:// and not *",
                "CORS_ORIGINS",
            )
        yield rule(
            "*" in self.cors_origins and self.cors_credentials,
            "must not be * together with CORS_CREDENTIALS: any web page could act for its visitor",
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
            "works with one process only: several would rotate the file against each other",
            "LOG_FILE",
            "WORKERS",
        )
        yield from self._external_service_rules()

    def _deployment_rules(self) -> Iterator[CombinationRule]:
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
            "must be redis:// or valkey:// if WORKERS is above 1: each would count by itself",
            "RATE_LIMIT_STORAGE",
            "WORKERS",
        )

    def _external_service_rules(self) -> Iterator[CombinationRule]:
        names = ("CLOUDINARY_CLOUD_NAME", "CLOUDINARY_API_KEY", "CLOUDINARY_API_SECRET")
        values = (self.cloudinary_cloud_name, self.cloudinary_api_key, self.cloudinary_api_secret)
        count = sum(value is not None for value in values)
        yield rule(count in (1, 2), f"works only together with {names[1]} and {names[2]}", *names)
        yield rule(
            count > 0 and self.cloudinary_url is not None,
            f"names the account already: leave {', '.join(names)} out",
            "CLOUDINARY_URL",
            *names,
        )
        yield rule(
            self.document_store == "cloudinary" and self.cloudinary_account is None,
            "is cloudinary, which requires CLOUDINARY_URL or the three variables of the account",
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
            "is required by SMTP_USERNAME",
            "SMTP_HOST",
            "SMTP_USERNAME",
        )


def load_settings(env_file: Path | None = Path(".env"), **overrides: Any) -> Settings:
    """Settings from `overrides` by field name, else the environment, else `env_file`."""
    try:
        return Settings(_env_file=env_file, **overrides)
    except UnicodeDecodeError:
        raise SettingsError([f"{env_file}: is not UTF-8 text"]) from None


def ensure_secret_key(data_dir: Path) -> str:
    """The secret in `data_dir`, created at the first call. Raises SettingsError."""
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
    has_few_characters = len(set(text)) < secret_keys.MIN_LENGTH // 4
    return (
        len(text) < secret_keys.MIN_LENGTH or has_few_characters or bool(KNOWN_SECRET.search(text))
    )
