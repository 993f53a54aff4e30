"""Source text of generated functions.

No text of a document gets into it but names, which GraphQL restricts to letters, digits and
underscores.
"""

from typing import Any

from graphql import GraphQLScalarType

DEFINITION = "strawberry-definition"
_INT_MAX = 2**31 - 1
# Exactly these types, so that the value is its own representation: a bool is no Int here.
_CHECKS = {
    "String": "type({0}) is not str",
    "ID": "type({0}) is not str",
    "Boolean": "type({0}) is not bool",
    "Int": f"type({{0}}) is not int or not {-_INT_MAX - 1} <= {{0}} <= {_INT_MAX}",
}


class Uncompilable(Exception):
    """There is something that no function is generated for."""


class Source:
    def __init__(self) -> None:
        self._lines: list[str] = []
        self._names: dict[str, Any] = {}
        self._functions = 0

    def function(self, parameters: str, *body: str) -> str:
        """The name of a new function; its lines are indented already."""
        name = f"function_{self._functions}"
        self._functions += 1
        self._lines += [f"def {name}({parameters}):", *body]
        return name

    def named(self, thing: Any) -> str:
        """A name under which the functions know it."""
        for name, known in self._names.items():
            if known is thing:
                return name
        name = f"n{len(self._names)}"
        self._names[name] = thing
        return name

    def executed(self) -> dict[str, Any]:
        """The functions by their names."""
        names = dict(self._names)
        exec(compile("\n".join(self._lines), "<generated>", "exec"), names)  # noqa: S102
        return names


def null_guard(lines: list[str], local: str, *, is_nullable: bool, indent: str) -> list[str]:
    """The lines at their place; where there may be null, only for what is none."""
    if is_nullable:
        lines = [f"if {local} is not None:", *(f"    {line}" for line in lines)]
    return [indent + line for line in lines]


def leaf_check(kind: GraphQLScalarType, local: str) -> list[str] | None:
    """Lines that end a function on a value that is not its own representation; None where there
    is more to it than that.
    """
    check = _CHECKS.get(kind.name)
    return None if check is None else [f"if {check.format(local)}:", "    raise ValueError"]
