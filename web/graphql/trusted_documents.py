"""Trusted documents: the only ones that anonymous clients may run, if a file of them is set."""

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

# Size limits of the cache of compared documents.
CACHE_MAX_BYTES = 1 << 20
CACHE_MAX_ENTRY_BYTES = 64 << 10
# A document longer than this many times the longest trusted one is refused without a comparison.
MAX_LENGTH_FACTOR = 4
# A string, which is kept, or a space inside the braces of an object.
_OBJECT_SPACE = re.compile(
    r'(?P<text>"""(?:\\"""|[^"]|"(?!""))*"""|"(?:\\.|[^"\\])*")|(?P<brace>\{) |(?<=\S) (?=\})'
)


class TrustedDocuments:
    """Trusted documents by name: the name in the file, or the SHA-256 hash in hexadecimal.

    Documents are compared without white space, commas and comments, and also match with the
    `__typename` that clients add to every object for their caches. Each has a hash of its text as
    written, and as graphql-js prints it, with and without `__typename`.
    """

    def __init__(self, documents: Mapping[str, str]) -> None:
        texts = [form for text in documents.values() for form in _forms(text)]
        self._by_name = {sha256(text.encode()).hexdigest(): text for text in texts} | dict(
            documents
        )
        self.is_empty = not documents
        self._texts = frozenset(text.strip() for text in texts)
        self._tokens = frozenset(strip_ignored_characters(text) for text in texts)
        self._max_length = MAX_LENGTH_FACTOR * max(map(len, texts), default=0)
        cache = cached(CACHE_MAX_BYTES, max_entry_bytes=CACHE_MAX_ENTRY_BYTES)
        self._is_trusted = cache(self._has_trusted_tokens)

    def find(self, name: object) -> str | None:
        return self._by_name.get(name) if isinstance(name, str) else None

    def require(self, text: str) -> None:
        """Raises Forbidden for a document that is not trusted."""
        if text.strip() in self._texts:
            return
        if len(text) > self._max_length or not self._is_trusted(text):
            raise Forbidden("Please sign in. Without a session only trusted documents can be run.")

    def _has_trusted_tokens(self, text: str) -> bool:
        try:
            return strip_ignored_characters(text) in self._tokens
        except GraphQLError:
            return False


def _forms(text: str) -> tuple[str, ...]:
    """Return the text as written, as printed, and as printed with `__typename`."""
    document = parse_document(text, no_location=True)
    printed = (print_ast(document), print_ast(visit(document, _TypeNames())))
    return text, *printed, *map(_without_spaces_in_objects, printed)


def _without_spaces_in_objects(printed: str) -> str:
    """Write objects as graphql-js 16 prints them: `{a: 1}`, not `{ a: 1 }`."""
    return _OBJECT_SPACE.sub(lambda match: match["text"] or match["brace"] or "", printed)


class _TypeNames(Visitor):
    """Add `__typename` to every selection set, as Apollo Client and urql do."""

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
    """Read a JSON object that maps names to documents. Raises ValueError, OSError."""
    documents = orjson.loads(path.read_bytes())
    is_object = isinstance(documents, dict) and documents
    if not is_object or not all(isinstance(text, str) for text in documents.values()):
        raise ValueError("is not a JSON object that maps names to documents")
    for text in documents.values():
        try:
            parse_document(text)
        except GraphQLError as error:
            raise ValueError("has a document that is not valid GraphQL") from error
    return TrustedDocuments(documents)


def trusted_documents(path: Path | None) -> TrustedDocuments | None:
    """Read the file, if one is set; None allows all documents. Raises SettingsError."""
    if path is None:
        return None
    try:
        return read_trusted(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SettingsError([f"TRUSTED_DOCUMENTS: {reason}"]) from None
