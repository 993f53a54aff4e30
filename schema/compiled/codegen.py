"""Build Python functions from generated source text.

Only names of a document get into the text: GraphQL restricts them to letters, digits and
underscores. Values are added to their namespace under generated names.
"""

import linecache
import weakref
from collections.abc import Callable
from itertools import count
from typing import Any

from graphql import GraphQLScalarType, Undefined, is_specified_scalar_type

DEFINITION = "strawberry-definition"
"""Key of the `extensions` of graphql-core's types and fields under which Strawberry's stand."""

# Exactly these types, so that the value is its own representation: a bool is no Int here.
_MISMATCHES = {
    "String": "type({0}) is not str",
    "ID": "type({0}) is not str",
    "Boolean": "type({0}) is not bool",
    "Int": f"type({{0}}) is not int or not {-(2**31)} <= {{0}} < {2**31}",
}
_module_numbers = count()


class CannotCompile(Exception):
    """No code is generated for the operation; graphql-core executes it."""


class CodeBuilder:
    """Collects functions that may call each other, and compiles them as one module."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._namespace: dict[str, Any] = {}
        self._names: dict[int, str] = {}
        self._numbers = count()

    def define(self, name: str, parameters: str, *body: str) -> str:
        """Add a function, its body already indented. Returns its name, made unique."""
        unique_name = f"{name}_{next(self._numbers)}"
        self._lines += [f"def {unique_name}({parameters}):", *body]
        return unique_name

    def add(self, value: Any, name: str = "constant") -> str:
        """Make the value available to the functions. Returns the name under which they find it.

        The namespace keeps the value alive, so that no other value can get its identity.
        """
        if id(value) not in self._names:
            unique_name = f"{name}_{next(self._numbers)}"
            self._names[id(value)], self._namespace[unique_name] = unique_name, value
        return self._names[id(value)]

    def build(self) -> dict[str, Any]:
        """Compile the functions. Returns them, with the added values, by their names.

        `linecache` has their source for tracebacks as long as they live.
        """
        file_name = f"<generated {next(_module_numbers)}>"
        source = "\n".join(self._lines) + "\n"
        exec(compile(source, file_name, "exec"), self._namespace)  # noqa: S102
        linecache.cache[file_name] = len(source), None, source.splitlines(True), file_name
        # The functions share a namespace, whose last entry is the last function: all live as long.
        if self._lines:
            weakref.finalize([*self._namespace.values()][-1], linecache.cache.pop, file_name, None)
        return self._namespace

    def list_function(self, parameters: str, mismatch: str, item_lines: list[str]) -> str:
        """Define a function that returns the list `value` with each item converted by the lines.

        It raises ValueError if the condition `mismatch` is true.
        """
        return self.define(
            "list",
            parameters,
            f"    if {mismatch}:",
            "        raise ValueError",
            "    items = []",
            "    for item in value:",
            *item_lines,
            "        items.append(item)",
            "    return items",
        )

    def scalar_lines(
        self, kind: GraphQLScalarType, local: str, convert: Callable[..., Any], invalid: str
    ) -> list[str]:
        """Return lines that convert the scalar in `local`, or raise ValueError.

        `invalid` is a condition on the converted value; `{0}` stands for it, `{1}` for Undefined.
        """
        if is_specified_scalar_type(kind) and kind.name in _MISMATCHES:
            return [f"if {_MISMATCHES[kind.name].format(local)}:", "    raise ValueError"]
        undefined = self.add(Undefined, "Undefined")
        return [
            f"{local} = {self.add(convert, kind.name)}({local})",
            f"if {invalid.format(local, undefined)}:",
            "    raise ValueError",
        ]


def null_guard(lines: list[str], local: str, *, is_nullable: bool, indent: str) -> list[str]:
    """Return the lines indented; for a nullable type they run only if `local` is not None."""
    if is_nullable:
        lines = [f"if {local} is not None:", *(f"    {line}" for line in lines)]
    return [indent + line for line in lines]
