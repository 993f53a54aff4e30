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
    """An open bracket. `path` leads to it; None outside of arguments.

    `key` is the name before the current value, `items` the number of values before it in a list.
    """

    kind: TokenKind
    path: Path | None
    key: str | None = None
    items: int = 0

    def value_path(self) -> Path:
        """Return the path of the value at the current position; empty where no value is allowed."""
        if self.path is None:
            return ()
        if self.kind is TokenKind.BRACKET_L:
            return (*self.path, self.items)
        return () if self.key is None else (*self.path, self.key)


def literal_path(node: Node) -> Path:
    """Return the path of a literal from its argument on; empty for nodes outside of arguments."""
    if node.loc is None:
        return ()
    return _paths(node.loc.source.body).get(node.loc.start, ())


@lru_cache(maxsize=MAX_CACHED_DOCUMENTS)
def _paths(text: str) -> dict[int, Path]:
    """Return paths by the offsets at which values and named fields begin.

    The path of a named field is known at the colon after its name.
    """
    paths: dict[int, Path] = {}
    brackets: list[_Bracket] = []
    second_last: Token | None = None
    last: Token | None = None
    for token in _tokens(text):
        bracket = brackets[-1] if brackets else _Bracket(TokenKind.SOF, None)
        if token.kind is TokenKind.COLON and last is not None:
            is_variable = second_last is not None and second_last.kind is TokenKind.DOLLAR
            bracket.key = None if is_variable else last.value
            paths[last.start] = bracket.value_path()
        elif token.kind in _CLOSING:
            del brackets[-1:]
        else:
            paths[token.start] = path = bracket.value_path()
            # A variable is two tokens.
            bracket.items += last is None or last.kind is not TokenKind.DOLLAR
            if token.kind in _OPENING:
                is_argument_list = token.kind is TokenKind.PAREN_L
                brackets.append(_Bracket(token.kind, () if is_argument_list else path or None))
        second_last, last = last, token
    return paths


def _tokens(text: str) -> Iterator[Token]:
    """Yield the tokens of a document up to its first syntax error."""
    lexer = Lexer(Source(text))
    try:
        while (token := lexer.advance()).kind is not TokenKind.EOF:
            yield token
    except GraphQLSyntaxError:
        return
