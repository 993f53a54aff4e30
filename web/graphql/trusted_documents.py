"""Documents that anybody may run, where others are for organisers alone."""

import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
from graphql import (
    FieldNode,
    GraphQLError,
    NameNode,
    Node,
    OperationDefinitionNode,
    SelectionSetNode,
    Visitor,
    print_ast,
    strip_ignored_characters,
    visit,
)
from graphql import parse as parse_document

from config.base import SettingsError
from domain.errors.exceptions import Forbidden
from resilience.byte_bounded_cache import cached

# Texts that were compared by their tokens.
CACHE_MAX_BYTES = 1 << 20
CACHE_MAX_ENTRY_BYTES = 64 << 10
# A text with more white space and comments than this, per character of a trusted one, is another.
MAX_GROWTH = 4
# A string, which stays as it is, or a brace of an object with its blank.
_OBJECT_BLANK = re.compile(
    r'(?P<text>"""(?:\\"""|[^"]|"(?!""))*"""|"(?:\\.|[^"\\])*")|(?P<brace>\{) |(?<=\S) (?=\})'
)


class TrustedDocuments:
    """By their names: those of the file, and the SHA-256 of each text in hexadecimal digits.

    White space, commas and comments make no other document, nor does the `__typename` that clients
    add to every object for their caches. Hashes are of the text as it stands, and as graphql-js
    prints it, without and with `__typename`.
    """

    def __init__(self, documents: Mapping[str, str]) -> None:
        texts = [form for text in documents.values() for form in _forms(text)]
        self._by_name = {sha256(text.encode()).hexdigest(): text for text in texts} | dict(
            documents
        )
        self.is_empty = not documents
        self._texts = frozenset(text.strip() for text in texts)
        self._tokens = frozenset(strip_ignored_characters(text) for text in texts)
        self._max_length = MAX_GROWTH * max(map(len, texts), default=0)
        keep = cached(CACHE_MAX_BYTES, max_entry_bytes=CACHE_MAX_ENTRY_BYTES)
        self._has_tokens = keep(self._has_trusted_tokens)

    def find(self, name: object) -> str | None:
        return self._by_name.get(name) if isinstance(name, str) else None

    def require(self, text: str) -> None:
        """Raises Forbidden."""
        if text.strip() in self._texts:
            return
        if len(text) > self._max_length or not self._has_tokens(text):
            raise Forbidden("Only the documents of the service's own pages are run for everybody.")

    def _has_trusted_tokens(self, text: str) -> bool:
        try:
            return strip_ignored_characters(text) in self._tokens
        except GraphQLError:
            return False


def _forms(text: str) -> tuple[str, ...]:
    """The text as it is written, as it is printed, and printed with `__typename`."""
    document = parse_document(text, no_location=True)
    printed = (print_ast(document), print_ast(visit(document, _TypeNames())))
    return text, *printed, *map(_without_blanks_in_objects, printed)


def _without_blanks_in_objects(printed: str) -> str:
    """A printed document with objects as graphql-js 16 writes them: `{a: 1}`, not `{ a: 1 }`."""
    return _OBJECT_BLANK.sub(lambda match: match["text"] or match["brace"] or "", printed)


class _TypeNames(Visitor):
    """Ask every object for `__typename`, as Apollo Client and urql do."""

    def enter_selection_set(
        self, node: SelectionSetNode, _key: Any, parent: Node, *_: Any
    ) -> SelectionSetNode | None:
        if isinstance(parent, OperationDefinitionNode) or any(
            isinstance(selection, FieldNode) and selection.name.value.startswith("__")
            for selection in node.selections
        ):
            return None
        name = FieldNode(name=NameNode(value="__typename"), alias=None, arguments=(), directives=())
        return SelectionSetNode(selections=(*node.selections, name))


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
