"""Completion of values by generated functions: attribute reads and leaf values, nothing else.

A function is right or it raises: whatever is not exactly what the schema says (a null that is not
allowed, a value of another type) ends it, and graphql-core completes the same value instead.
Errors, paths and nulls are its own, therefore; only what has no error is faster.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLScalarType,
    Undefined,
    is_specified_scalar_type,
)
from graphql.execution.collect_fields import CollectedFields, FieldDetailsList
from strawberry.types.field import StrawberryField

Completion = Callable[[Any], Any]
Collect = Callable[[GraphQLObjectType, FieldDetailsList], CollectedFields]

FIELDS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Rendered:
    """An object whose selected fields are printed already, as JSON."""

    text: str

    @property
    def fragment(self) -> orjson.Fragment:
        return orjson.Fragment(self.text)


_INT_MAX = 2**31 - 1
_DEFINITION = "strawberry-definition"
# Exactly these types, so that the value is its own representation: a bool is no Int here.
_CHECKS = {
    "String": "type({0}) is not str",
    "ID": "type({0}) is not str",
    "Boolean": "type({0}) is not bool",
    "Int": f"type({{0}}) is not int or not {-_INT_MAX - 1} <= {{0}} <= {_INT_MAX}",
}


class Uncompilable(Exception):
    """The selection has a field that is more than an attribute."""


def compiled(
    return_type: GraphQLOutputType, details: FieldDetailsList, collect: Collect
) -> Completion | None:
    """The function that completes a value of the type; None when there can be none.

    `collect` gives the fields that are selected below, after merging, fragments and conditions.
    """
    source = _Source(collect)
    try:
        name = source.value(return_type, details)
    except Uncompilable:
        return None
    exec(compile("\n".join(source.lines), "<compiled selection>", "exec"), source.names)  # noqa: S102
    completion: Completion = source.names[name]
    return completion


@dataclass(slots=True)
class _Source:
    """Generated functions, each taking a value and giving what stands for it in the answer.

    No text of a document gets into them but names, which GraphQL restricts to letters, digits and
    underscores.
    """

    collect: Collect
    lines: list[str] = field(default_factory=list)
    names: dict[str, Any] = field(default_factory=dict)
    functions: int = 0
    fields: int = 0

    def value(self, kind: GraphQLOutputType, details: FieldDetailsList) -> str:
        """The name of a function that completes values of the type, which are not null."""
        if isinstance(kind, GraphQLList):
            return self._list(kind.of_type, details)
        if isinstance(kind, GraphQLObjectType):
            return self._object(kind, details)
        raise Uncompilable

    def _list(self, item: GraphQLOutputType, details: FieldDetailsList) -> str:
        body = self._completed(item, "item", details, indent="        ")
        return self._function(
            "    if type(value) is not list and type(value) is not tuple:",
            "        raise ValueError",
            "    found = []",
            "    for item in value:",
            *body,
            "        found.append(item)",
            "    return found",
        )

    def _object(self, kind: GraphQLObjectType, details: FieldDetailsList) -> str:
        body, entries = [], []
        if kind.is_type_of is not None:
            rendered = self._named(Rendered)
            body += [f"    if type(value) is {rendered}:", "        return value.fragment"]
            origin = self._named(kind.extensions[_DEFINITION].origin)
            body += [f"    if type(value) is not {origin}:", "        raise ValueError"]
        selected = self.collect(kind, details).grouped_field_set
        for place, (key, chosen) in enumerate(selected.items()):
            self.fields += 1
            name = chosen[0].node.name.value
            if self.fields > FIELDS_MAX or any(one.defer_usage for one in chosen):
                raise Uncompilable
            if name == "__typename":
                entries.append(f"{key!r}: {kind.name!r}")
                continue
            definition = kind.fields.get(name)
            if definition is None:
                raise Uncompilable
            local = f"v{place}"
            body.append(f"    {local} = {self._read(definition)}")
            body += self._completed(definition.type, local, chosen, indent="    ")
            entries.append(f"{key!r}: {local}")
        return self._function(*body, f"    return {{{', '.join(entries)}}}")

    def _read(self, definition: GraphQLField) -> str:
        """How the field is read: an attribute, or a function of the object alone."""
        found = definition.extensions.get(_DEFINITION)
        if not isinstance(found, StrawberryField) or definition.args or found.extensions:
            raise Uncompilable
        resolver = found.base_resolver
        if resolver is None:
            return f"value.{found.python_name}"
        if resolver.is_async or resolver.info_parameter or resolver.parent_parameter is None:
            raise Uncompilable
        return f"{self._named(resolver.wrapped_func)}(value)"

    def _completed(
        self, kind: GraphQLOutputType, local: str, details: FieldDetailsList, *, indent: str
    ) -> list[str]:
        """Lines that put what stands in the answer into `local`."""
        if isinstance(kind, GraphQLNonNull):
            return [indent + line for line in self._present(kind.of_type, local, details)]
        lines = self._present(kind, local, details)
        return [f"{indent}if {local} is not None:", *(f"{indent}    {line}" for line in lines)]

    def _present(self, kind: GraphQLOutputType, local: str, details: FieldDetailsList) -> list[str]:
        """The same for a value that has to be there."""
        if isinstance(kind, GraphQLEnumType):
            return self._enum(kind, local)
        if not isinstance(kind, GraphQLScalarType):
            return [f"{local} = {self.value(kind, details)}({local})"]
        if is_specified_scalar_type(kind) and kind.name in _CHECKS:
            return [f"if {_CHECKS[kind.name].format(local)}:", "    raise ValueError"]
        return [
            f"{local} = {self._named(kind.coerce_output_value)}({local})",
            f"if {local} is None or {local} is {self._named(Undefined)}:",
            "    raise ValueError",
        ]

    def _enum(self, kind: GraphQLEnumType, local: str) -> list[str]:
        members = getattr(kind, "wrapped_cls", None)
        if members is None:
            raise Uncompilable
        names = {members(one.value): name for name, one in kind.values.items()}
        return [
            f"if type({local}) is not {self._named(members)}:",
            "    raise ValueError",
            f"{local} = {self._named(names)}[{local}]",
        ]

    def _function(self, *body: str) -> str:
        name = f"complete_{self.functions}"
        self.functions += 1
        self.lines += [f"def {name}(value):", *body]
        return name

    def _named(self, thing: Any) -> str:
        """A name under which the generated functions know it."""
        for name, known in self.names.items():
            if known is thing:
                return name
        name = f"n{len(self.names)}"
        self.names[name] = thing
        return name
