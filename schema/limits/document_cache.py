"""Cache of parsed documents and of facts about them.

Executed documents are kept in a large cache. Documents that are being processed or were refused
share a small one, so that refused documents neither use much memory nor evict executed ones. For
documents with a syntax error only the error is kept, by a hash of the text, to avoid parsing again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from sys import getsizeof

from graphql import (
    DocumentNode,
    GraphQLSchema,
    GraphQLSyntaxError,
    Source,
    TokenKind,
    parse,
)

from resilience.byte_bounded_cache import ByteBoundedCache
from schema.limits.complexity import Complexity, PageSizes

# The largest possible document takes 1.5 MB.
MAX_EXECUTED_BYTES = 6 << 20
MAX_PENDING_BYTES = 3 << 20
MAX_OPERATIONS_BYTES = 8 << 20
MAX_SYNTAX_ERRORS_BYTES, MAX_SYNTAX_ERROR_BYTES = 256 << 10, 4 << 10
# Measured and rounded up: nodes and tokens, for each token; the complexity of an operation.
TOKEN_BYTES = 700
COMPLEXITY_BYTES = 1_000
# Of a compiled operation: its document, for each character; a plan; code and source of a field.
CHARACTER_BYTES = 250
PLAN_BYTES = 10_000
FIELD_BYTES = 1_600
# Variants of page sizes for which the complexity of one document is kept.
MAX_PAGE_SIZE_VARIANTS = 4


@dataclass(slots=True, eq=False)
class ParsedDocument:
    """A parsed document, the schemas in which it is valid, and labels of its operations."""

    node: DocumentNode
    tokens: int
    valid_in: set[GraphQLSchema] = field(default_factory=set)
    labels: dict[tuple[GraphQLSchema, str | None], tuple[str, str]] = field(default_factory=dict)
    complexities: dict[tuple[GraphQLSchema, PageSizes], Mapping[str | None, Complexity]] = field(
        default_factory=dict
    )


@dataclass(frozen=True, slots=True)
class CachedSyntaxError:
    """A syntax error without its document. `position` counts characters."""

    description: str
    position: int

    def with_source(self, text: str) -> GraphQLSyntaxError:
        return GraphQLSyntaxError(Source(text), self.position, self.description)


class DocumentCache:
    def __init__(
        self,
        max_executed_bytes: int = MAX_EXECUTED_BYTES,
        max_pending_bytes: int = MAX_PENDING_BYTES,
    ) -> None:
        self._executed: ByteBoundedCache[str, ParsedDocument] = ByteBoundedCache(
            max_executed_bytes, _document_bytes
        )
        self._pending: ByteBoundedCache[str, ParsedDocument] = ByteBoundedCache(
            max_pending_bytes, _document_bytes
        )
        self._syntax_errors: ByteBoundedCache[bytes, CachedSyntaxError] = ByteBoundedCache(
            MAX_SYNTAX_ERRORS_BYTES, _syntax_error_bytes, max_entry_bytes=MAX_SYNTAX_ERROR_BYTES
        )

    @property
    def bytes(self) -> int:
        return self._executed.bytes + self._pending.bytes + self._syntax_errors.bytes

    def find(self, text: str) -> ParsedDocument | None:
        return self._executed.get(text) or self._pending.get(text)

    def parse(self, text: str, *, max_tokens: int) -> ParsedDocument:
        """Parse a document that is not in the cache. Raises GraphQLError."""
        digest = sha256(text.encode("utf-8", "surrogatepass")).digest()
        cached_error = self._syntax_errors.get(digest)
        if cached_error is not None:
            raise cached_error.with_source(text)
        try:
            node = parse(text, max_tokens=max_tokens)
        except GraphQLSyntaxError as error:
            self._syntax_errors[digest] = _cached_syntax_error(error)
            raise
        document = ParsedDocument(node, _release_tokens(node))
        self._pending[text] = document
        return document

    def mark_executed(self, text: str) -> None:
        """Move the document to the cache of executed ones."""
        document = self._pending.get(text)
        if document is not None:
            self._pending.discard(text)
            self._executed[text] = document

    def clear(self) -> None:
        self._executed.clear()
        self._pending.clear()
        self._syntax_errors.clear()


def _document_bytes(text: str, document: ParsedDocument) -> int:
    operations = len(document.node.definitions)
    return (
        getsizeof(text)
        + document.tokens * TOKEN_BYTES
        + operations * COMPLEXITY_BYTES * (MAX_PAGE_SIZE_VARIANTS + 1)
    )


def _cached_syntax_error(error: GraphQLSyntaxError) -> CachedSyntaxError:
    (position,) = error.positions or (0,)
    return CachedSyntaxError(error.message.removeprefix("Syntax Error: "), position)


def _syntax_error_bytes(digest: bytes, refusal: CachedSyntaxError) -> int:
    return getsizeof(digest) + getsizeof(refusal.description)


def _release_tokens(document: DocumentNode) -> int:
    """Unlink the tokens, so that only tokens of nodes stay in memory. Returns their number.

    A comment of one character is a token of 190 bytes that is not needed again.
    """
    location = document.loc
    token = location.start_token if location else None
    count = 0
    while token is not None:
        following = token.next
        count += token.kind is not TokenKind.COMMENT
        token.prev = token.next = None
        token = following
    return count
