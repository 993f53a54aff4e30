"""Compile the selections of an operation into functions that build the response.

A generated function returns exactly graphql-core's result or raises: a null where the schema allows
none or a value of another type ends it, and graphql-core executes the operation instead. Error
messages, their paths and the propagation of nulls are therefore graphql-core's own.
"""

from collections.abc import Iterator
from typing import Any, cast

from graphql import (
    Executor,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLScalarType,
    get_nullable_type,
)
from graphql.execution.collect_fields import FieldDetailsList, collect_fields
from orjson import Fragment
from strawberry.types.field import StrawberryField

from schema.compiled.codegen import DEFINITION, CannotCompile, CodeBuilder, null_guard
from schema.compiled.plan import RootField
from schema.compiled.resolver_calls import ResolverCall
from schema.limits.text_rules import wraps_resolver

MAX_FIELDS = 1_000


def compile_operation(executor: Executor[Any]) -> tuple[list[RootField], list[ResolverCall], int]:
    """Compile the executor's operation, for the Boolean values of its variables.

    Returns its root fields, all calls of resolvers, and the number of selected fields, those of a
    fragment counted at each of its spreads. Raises CannotCompile.
    """
    return _OperationCompiler(executor).compile()


class _OperationCompiler(CodeBuilder):
    """Generates functions of a value and the `ExecutionState` that return the value completed."""

    def __init__(self, executor: Executor[Any]) -> None:
        super().__init__()
        self._executor = executor
        self._calls: list[ResolverCall] = []
        self._fields = 0

    def compile(self) -> tuple[list[RootField], list[ResolverCall], int]:
        executor = self._executor
        root = executor.schema.get_root_type(executor.operation.operation)
        if root is None:
            raise CannotCompile
        selected = collect_fields(
            executor.schema, executor.fragments, executor.variable_values, root, executor.operation
        ).grouped_field_set
        fields = []
        for key, details, definition in self._selected(root, selected):
            call = None
            lines = [f"    return {root.name!r}"]
            if definition is not None:
                call = self._resolver_call(root, key, details)
                if call is None:
                    raise CannotCompile
                lines = [
                    *self._completed(definition.type, "value", details, indent="    "),
                    "    return value",
                ]
            fields.append((key, call, self.define("root", "value, state", *lines)))
        functions = self.build()
        roots = [RootField(key, call, functions[name]) for key, call, name in fields]
        return roots, self._calls, self._fields

    def _selected(
        self, kind: GraphQLObjectType, grouped: Any
    ) -> Iterator[tuple[str, FieldDetailsList, GraphQLField | None]]:
        """Yield response keys with their nodes and fields; None for `__typename`."""
        for key, details in grouped.items():
            self._fields += 1
            name = details[0].node.name.value
            definition = kind.fields.get(name)
            is_introspection = definition is None and name != "__typename"
            is_deferred = any(entry.defer_usage for entry in details)
            if is_introspection or is_deferred or self._fields > MAX_FIELDS:
                raise CannotCompile
            yield key, details, definition

    def _composite(self, kind: GraphQLOutputType, details: FieldDetailsList) -> str:
        """Define a function that completes values of the type, which are not None."""
        if isinstance(kind, GraphQLList):
            return self._list(kind.of_type, details)
        if isinstance(kind, GraphQLObjectType):
            return self._object(kind, details)
        if isinstance(kind, GraphQLInterfaceType):
            return self._interface(kind, details)
        raise CannotCompile

    def _list(self, item: GraphQLOutputType, details: FieldDetailsList) -> str:
        mismatch = "type(value) is not list and type(value) is not tuple"
        lines = self._completed(item, "item", details, indent="        ")
        return self.list_function("value, state", mismatch, lines)

    def _interface(self, kind: GraphQLInterfaceType, details: FieldDetailsList) -> str:
        functions = ", ".join(
            f"{self._origin(possible)}: {self._object(possible, details)}"
            for possible in self._executor.schema.get_possible_types(kind)
        )
        body = f"    return {{{functions}}}[type(value)](value, state)"
        return self.define(kind.name, "value, state", body)

    def _origin(self, kind: GraphQLObjectType) -> str:
        """Add the Python class of an object type."""
        return self.add(kind.extensions[DEFINITION].origin, f"class_{kind.name}")

    def _object(self, kind: GraphQLObjectType, details: FieldDetailsList) -> str:
        # PostgreSQL may have rendered the object as JSON text.
        body = [f"    if type(value) is {self.add(Fragment, 'Fragment')}:", "        return value"]
        entries, awaited = [], []
        if kind.is_type_of is not None:
            body += [
                f"    if type(value) is not {self._origin(kind)}:",
                "        raise ValueError",
            ]
        grouped = self._executor.collect_subfields(kind, details).grouped_field_set
        for number, (key, nodes, definition) in enumerate(self._selected(kind, grouped)):
            if definition is None:
                entries.append(f"{key!r}: {kind.name!r}")
                continue
            local = f"v{number}"
            call = self._resolver_call(kind, key, nodes)
            value = f"value.{definition.extensions[DEFINITION].python_name}"
            if call is not None:
                value = f"{self.add(call.call_nested, 'resolve')}(state, value)"
            if call is not None and call.is_async:
                lines = self._completed(definition.type, "value", nodes, indent="    ")
                complete = self.define("awaited", "value, state", *lines, "    return value")
                # At the end, so that an exception before it leaves no coroutine unawaited.
                awaited.append(f"    state.pending.append((data, {key!r}, {value}, {complete}))")
                entries.append(f"{key!r}: None")
            else:
                body.append(f"    {local} = {value}")
                body += self._completed(definition.type, local, nodes, indent="    ")
                entries.append(f"{key!r}: {local}")
        body.append(f"    data = {{{', '.join(entries)}}}")
        return self.define(kind.name, "value, state", *body, *awaited, "    return data")

    def _resolver_call(
        self, parent: GraphQLObjectType, key: str, details: FieldDetailsList
    ) -> ResolverCall | None:
        """Return None for a field that is an attribute of its object."""
        field = parent.fields[details[0].node.name.value].extensions.get(DEFINITION)
        if not isinstance(field, StrawberryField) or wraps_resolver(field):
            raise CannotCompile
        if field.base_resolver is None:
            return None
        if field.base_resolver.self_parameter is not None:
            raise CannotCompile
        call = ResolverCall(self._executor, parent, key, details, len(self._calls))
        self._calls.append(call)
        return call

    def _completed(
        self, kind: GraphQLOutputType, local: str, details: FieldDetailsList, *, indent: str
    ) -> list[str]:
        """Return lines that replace the value in `local` by its completed form."""
        is_nullable = not isinstance(kind, GraphQLNonNull)
        lines = self._non_null(cast("GraphQLOutputType", get_nullable_type(kind)), local, details)
        return null_guard(lines, local, is_nullable=is_nullable, indent=indent)

    def _non_null(
        self, kind: GraphQLOutputType, local: str, details: FieldDetailsList
    ) -> list[str]:
        if isinstance(kind, GraphQLEnumType):
            return self._enum(kind, local)
        if not isinstance(kind, GraphQLScalarType):
            return [f"{local} = {self._composite(kind, details)}({local}, state)"]
        invalid = "{0} is None or {0} is {1}"
        return self.scalar_lines(kind, local, kind.coerce_output_value, invalid)

    def _enum(self, kind: GraphQLEnumType, local: str) -> list[str]:
        members = getattr(kind, "wrapped_cls", None)
        if members is None:
            raise CannotCompile
        names = {members(value.value): name for name, value in kind.values.items()}
        return [
            f"if type({local}) is not {self.add(members, kind.name)}:",
            "    raise ValueError",
            f"{local} = {self.add(names, 'names')}[{local}]",
        ]
