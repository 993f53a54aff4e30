"""Variables as the arguments of resolvers, by generated functions.

As in `selection_compiler.py`, a function returns the exact result or raises, and then graphql-core
and Strawberry read the variables instead.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING
from typing import Any, cast

from graphql import (
    BooleanValueNode,
    EnumValueNode,
    Executor,
    FloatValueNode,
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLScalarType,
    IntValueNode,
    NullValueNode,
    StringValueNode,
    Undefined,
    VariableNode,
    get_nullable_type,
    is_specified_scalar_type,
    type_from_ast,
)
from graphql.execution.values import VariableValues, get_argument_values, get_variable_values
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.arguments import convert_arguments

from schema.compiled.codegen import DEFINITION, Source, Uncompilable, leaf_check, null_guard
from schema.compiled.selection_compiler import ResolverCall
from schema.limits.text_rules import apply_extensions

Variables = Mapping[str, Any]
# Literals without anything inside that a resolver could change.
_CONSTANT = (
    BooleanValueNode,
    EnumValueNode,
    FloatValueNode,
    IntValueNode,
    NullValueNode,
    StringValueNode,
)
Read = Callable[[Variables], list[dict[str, Any]]]


class VariablesRefused(Exception):
    """They do not fit the operation."""


def reader(
    executor: Executor[Any], sites: list[ResolverCall], converter: GraphQLCoreConverter
) -> Read:
    """What gives the arguments of each site. It raises anything for variables that do not fit."""
    try:
        read = _Reading(executor, converter).reader(sites)
    except Uncompilable:
        read = _slow_reader(executor, sites, converter)
    return apply_extensions(read, [site.field for site in sites])


def _slow_reader(
    executor: Executor[Any], sites: list[ResolverCall], converter: GraphQLCoreConverter
) -> Read:
    definitions = executor.operation.variable_definitions or ()

    def read(variables: Variables) -> list[dict[str, Any]]:
        values = get_variable_values(executor.schema, definitions, dict(variables))
        if isinstance(values, list):
            raise VariablesRefused
        return [_converted(site, values, converter) for site in sites]

    return read


def _converted(
    site: ResolverCall, values: VariableValues | None, converter: GraphQLCoreConverter
) -> dict[str, Any]:
    return convert_arguments(
        get_argument_values(site.definition, site.details[0].node, values),
        site.field.arguments,
        converter.scalar_registry,
        converter.config,
    )


class _Reading(Source):
    """Functions that take a JSON value and give what resolvers are given for it.

    Raises Uncompilable for arguments that are more than one variable each.
    """

    def __init__(self, executor: Executor[Any], converter: GraphQLCoreConverter) -> None:
        super().__init__()
        self._schema = executor.schema
        self._converter = converter
        self._definitions = {
            one.variable.name.value: one for one in executor.operation.variable_definitions or ()
        }
        self._read: set[str] = set()

    def reader(self, sites: list[ResolverCall]) -> Read:
        functions = [f"{self._arguments(site)}(variables)" for site in sites]
        # A variable that no argument takes has to be looked at all the same.
        if self._read != self._definitions.keys():
            raise Uncompilable
        name = self.function("variables", f"    return [{', '.join(functions)}]")
        read: Read = self.executed()[name]
        return read

    def _arguments(self, site: ResolverCall) -> str:
        names = {
            self._converter.config.name_converter.from_argument(one): one.python_name
            for one in site.field.arguments
        }
        given = {one.name.value: one.value for one in site.details[0].node.arguments or ()}
        if given and all(isinstance(value, _CONSTANT) for value in given.values()):
            constants = self.named(_converted(site, None, self._converter))
            return self.function("variables", f"    return {constants}")
        body = ["    found = {}"]
        for name, argument in site.definition.args.items():
            value = given.get(name)
            if name not in given and not isinstance(argument.type, GraphQLNonNull):
                continue
            if not isinstance(value, VariableNode):
                raise Uncompilable
            variable = value.name.value
            self._read.add(variable)
            body += [
                f"    if {variable!r} in variables:",
                f"        value = variables[{variable!r}]",
                *self._converted(self._kind(variable, argument), "value", indent="        "),
                f"        found[{names[name]!r}] = value",
            ]
            if isinstance(argument.type, GraphQLNonNull):
                body += ["    else:", "        raise ValueError"]
        return self.function("variables", *body, "    return found")

    def _kind(self, variable: str, argument: GraphQLArgument) -> GraphQLInputType:
        """The type that both allow."""
        definition = self._definitions[variable]
        kind = cast("GraphQLInputType", type_from_ast(self._schema, definition.type))
        if definition.default_value is not None:
            raise Uncompilable
        if str(get_nullable_type(kind)) != str(get_nullable_type(argument.type)):
            raise Uncompilable
        return argument.type if isinstance(argument.type, GraphQLNonNull) else kind

    def _converted(self, kind: GraphQLInputType, local: str, *, indent: str) -> list[str]:
        """Lines that put what a resolver is given into `local`."""
        is_nullable = not isinstance(kind, GraphQLNonNull)
        lines = self._present(cast("GraphQLInputType", get_nullable_type(kind)), local)
        return null_guard(lines, local, is_nullable=is_nullable, indent=indent)

    def _present(self, kind: GraphQLInputType, local: str) -> list[str]:
        if isinstance(kind, GraphQLInputObjectType):
            return [f"{local} = {self._object(kind)}({local})"]
        if isinstance(kind, GraphQLList):
            return [f"{local} = {self._list(kind.of_type)}({local})"]
        if isinstance(kind, GraphQLEnumType):
            members = {name: kind.parse_value(name) for name in kind.values}
            return [f"{local} = {self.named(members)}[{local}]"]
        if not isinstance(kind, GraphQLScalarType):
            raise Uncompilable
        check = leaf_check(kind, local) if is_specified_scalar_type(kind) else None
        if check is not None:
            return check
        return [
            f"{local} = {self.named(kind.coerce_input_value)}({local})",
            f"if {local} is {self.named(Undefined)}:",
            "    raise ValueError",
        ]

    def _list(self, item: GraphQLInputType) -> str:
        return self.function(
            "value",
            "    if type(value) is not list:",
            "        raise ValueError",
            "    found = []",
            "    for item in value:",
            *self._converted(item, "item", indent="        "),
            "        found.append(item)",
            "    return found",
        )

    def _object(self, kind: GraphQLInputObjectType) -> str:
        definition = kind.extensions[DEFINITION]
        if kind.is_one_of or definition.from_input is not None:
            raise Uncompilable
        known = self.named(frozenset(kind.fields))
        body = [
            f"    if type(value) is not dict or not value.keys() <= {known}:",
            "        raise ValueError",
        ]
        given = []
        for place, one in enumerate(definition.fields):
            name = self._converter.config.name_converter.from_field(one)
            local = f"v{place}"
            body += self._read_field(kind.fields[name], name, local, _default_of(one))
            given.append(f"{one.python_name}={local}")
        origin = self.named(definition.origin)
        return self.function("value", *body, f"    return {origin}({', '.join(given)})")

    def _read_field(
        self, definition: GraphQLInputField, name: str, local: str, default: Any
    ) -> list[str]:
        lines = self._converted(definition.type, local, indent="        ")
        absent = ["raise ValueError"]
        if default is not MISSING:
            absent = [f"{local} = {self.named(default)}"]
        elif not isinstance(definition.type, GraphQLNonNull):
            absent = [f"{local} = None"]
        return [
            f"    if {name!r} in value:",
            f"        {local} = value[{name!r}]",
            *lines,
            "    else:",
            *(f"        {line}" for line in absent),
        ]


def _default_of(one: Any) -> Any:
    """MISSING where there is none. Raises Uncompilable for one that is made anew each time."""
    if one.default_factory is not MISSING:
        raise Uncompilable
    return one.default_value
