"""Documents that anybody may run, where others are for organisers alone."""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import orjson
from graphql import GraphQLError
from graphql import parse as parse_document

from domain.errors import Forbidden
from web.configuration import SettingsError


class TrustedDocuments:
    """By their names: those of the file, and the SHA-256 of each text in hexadecimal digits."""

    def __init__(self, documents: Mapping[str, str]) -> None:
        hashes = {sha256(text.encode()).hexdigest(): text for text in documents.values()}
        self._by_name = {**documents, **hashes}
        self.is_empty = not documents
        self._texts = frozenset(text.strip() for text in documents.values())

    def find(self, name: object) -> str | None:
        return self._by_name.get(name) if isinstance(name, str) else None

    def require(self, text: str) -> None:
        """Raises Forbidden."""
        if text.strip() not in self._texts:
            raise Forbidden("Only the documents of the service's own pages are run for everybody.")


def read_trusted(path: Path) -> TrustedDocuments:
    """A JSON object of documents by their names. Raises ValueError, OSError."""
    documents = orjson.loads(path.read_bytes())
    is_right = isinstance(documents, dict) and documents
    if not is_right or not all(isinstance(text, str) for text in documents.values()):
        raise ValueError("is no JSON object of documents by their names")
    for text in documents.values():
        try:
            parse_document(text)
        except GraphQLError as error:
            raise ValueError("has a document that is no GraphQL") from error
    return TrustedDocuments(documents)


def trusted_documents(path: Path | None) -> TrustedDocuments | None:
    """None where everybody may run anything. Raises SettingsError."""
    if path is None:
        return None
    try:
        return read_trusted(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SettingsError([f"TRUSTED_DOCUMENTS: {reason}"]) from None
