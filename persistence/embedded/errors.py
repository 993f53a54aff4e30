"""The error of the embedded PostgreSQL."""


class EmbeddedPostgresError(Exception):
    """The database of the data folder cannot be used. The message gives the reason and a remedy."""
