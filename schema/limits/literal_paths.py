"""Paths of literals in a document, from their argument on."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from graphql import GraphQLSyntaxError, Lexer, Node, Source, Token, TokenKind

from domain.errors.issues import Path

# A document may have many errors, each of which needs a path.
MAX_CACHED_DOCUMENTS = 4
_OPENING = (TokenKind.PAREN_L, TokenKind.BRACE_L, TokenKind.BRACKET_L)
_CLOSING = (TokenKind.PAREN_R, TokenKind.BRACE_R, TokenKind.BRACKET_R)


@dataclass(slots=True)
class _Bracket:
    """An open bracket. `path` leads to it; None outside of arguments."""

    kind: TokenKind
    path: Path | None
    key: str | None = None
    items: int = 0

    def value_path(self) -> Path:
        """Path of the value at the current position; empty where no value is allowed."""
        if self.path is None:
            return ()
        if self.kind is TokenKind.BRACKET_L:
            return (*self.path, self.items)
        return () if self.key is None else (*self.path, self.key)


def literal_path(node: Node) -> Path:
    """Path of a literal from its argument on; empty for nodes outside of arguments."""
    if node.loc is None:
        return ()
    return _paths(node.loc.source.body).get(node.loc.start, ())


@lru_cache(maxsize=MAX_CACHED_DOCUMENTS)
def _paths(text: str) -> dict[int, Path]:
    """Paths by the offsets at which values and named fields begin."""
    found: dict[int, Path] = {}
    brackets: list[_Bracket] = []
    former: Token | None = None
    before: Token | None = None
    for token in _tokens(text):
        within = brackets[-1] if brackets else _Bracket(TokenKind.SOF, None)
        if token.kind is TokenKind.COLON and before is not None:
            is_variable = former is not None and former.kind is TokenKind.DOLLAR
            within.key = None if is_variable else before.value
            found[before.start] = within.value_path()
        elif token.kind in _CLOSING:
            del brackets[-1:]
        else:
            found[token.start] = place = within.value_path()
            # A variable is two tokens.
            within.items += before is None or before.kind is not TokenKind.DOLLAR
            if token.kind in _OPENING:
                is_first = token.kind is TokenKind.PAREN_L
                brackets.append(_Bracket(token.kind, () if is_first else place or None))
        former, before = before, token
    return found


def _tokens(text: str) -> Iterator[Token]:
    lexer = Lexer(Source(text))
    try:
        while (token := lexer.advance()).kind is not TokenKind.EOF:
            yield token
    except GraphQLSyntaxError:
        return
