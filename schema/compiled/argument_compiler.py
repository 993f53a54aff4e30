"""Compile the arguments of resolvers into functions that read them from variables.

As in `selection_compiler.py`, a generated function returns the exact result or raises, and then
graphql-core and Strawberry coerce the variables instead.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING
from typing import Any, cast

from graphql import (
    Executor,
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLScalarType,
    GraphQLSchema,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    VariableNode,
    get_nullable_type,
    type_from_ast,
)
from graphql.execution.values import VariableValues, get_argument_values, get_variable_values
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.arguments import convert_arguments

from schema.compiled.codegen import DEFINITION, CannotCompile, CodeBuilder, null_guard
from schema.compiled.resolver_calls import ResolverCall
from schema.limits.text_rules import apply_extensions

Variables = Mapping[str, Any]
ReadArguments = Callable[[Variables], list[dict[str, Any]]]
# Literals of other kinds are immutable, so that all executions can share them.
_NOT_SHARED = (ListValueNode, ObjectValueNode, VariableNode)


class InvalidVariables(Exception):
    """The variables do not fit the operation."""


def compile_arguments(
    executor: Executor[Any], calls: list[ResolverCall], converter: GraphQLCoreConverter
) -> ReadArguments:
    """Return a function from variables to the arguments of each call.

    It raises an exception of any type for variables that do not fit.
    """
    try:
        read = _ArgumentCompiler(executor, converter).compile(calls)
    except CannotCompile:
        read = _interpreted_reader(executor, calls, converter)
    return apply_extensions(read, [call.field for call in calls])


def coerce_variables(
    schema: GraphQLSchema, operation: OperationDefinitionNode, variables: Variables
) -> VariableValues | None:
    """Coerce variables by graphql-core; None if they are invalid."""
    definitions = operation.variable_definitions or ()
    values = get_variable_values(schema, definitions, dict(variables))
    return None if isinstance(values, list) else values


def _interpreted_reader(
    executor: Executor[Any], calls: list[ResolverCall], converter: GraphQLCoreConverter
) -> ReadArguments:
    # The executor itself has the variables of one request, which are not to be kept.
    schema, operation = executor.schema, executor.operation

    def read(variables: Variables) -> list[dict[str, Any]]:
        values = coerce_variables(schema, operation, variables)
        if values is None:
            raise InvalidVariables
        return [_converted_arguments(call, values, converter) for call in calls]

    return read


def _converted_arguments(
    call: ResolverCall, values: VariableValues | None, converter: GraphQLCoreConverter
) -> dict[str, Any]:
    return convert_arguments(
        get_argument_values(call.definition, call.details[0].node, values),
        call.field.arguments,
        converter.scalar_registry,
        converter.config,
    )


class _ArgumentCompiler(CodeBuilder):
    """Generates functions of a JSON value that return it as resolvers receive it.

    Raises CannotCompile unless each argument is one variable, or all of a field are literals.
    """

    def __init__(self, executor: Executor[Any], converter: GraphQLCoreConverter) -> None:
        super().__init__()
        self._schema = executor.schema
        self._converter = converter
        self._definitions = {
            definition.variable.name.value: definition
            for definition in executor.operation.variable_definitions or ()
        }
        self._used: set[str] = set()

    def compile(self, calls: list[ResolverCall]) -> ReadArguments:
        functions = [f"{self._arguments(call)}(variables)" for call in calls]
        # Variables that no argument uses have to be validated as well.
        if self._used != self._definitions.keys():
            raise CannotCompile
        name = self.define("read", "variables", f"    return [{', '.join(functions)}]")
        read: ReadArguments = self.build()[name]
        return read

    def _arguments(self, call: ResolverCall) -> str:
        nodes = {node.name.value: node.value for node in call.details[0].node.arguments or ()}
        if nodes and not any(isinstance(node, _NOT_SHARED) for node in nodes.values()):
            constants = self.add(_converted_arguments(call, None, self._converter))
            return self.define(f"arguments_{call.name}", "variables", f"    return {constants}")
        body = ["    arguments = {}"]
        pairs = zip(call.field.arguments, call.definition.args.items(), strict=True)
        for strawberry_argument, (name, argument) in pairs:
            node = nodes.get(name)
            if name not in nodes and not isinstance(argument.type, GraphQLNonNull):
                continue
            if not isinstance(node, VariableNode):
                raise CannotCompile
            variable = node.name.value
            self._used.add(variable)
            body += [
                f"    if {variable!r} in variables:",
                f"        value = variables[{variable!r}]",
                *self._coerced(self._variable_type(variable, argument), "value", indent=" " * 8),
                f"        arguments[{strawberry_argument.python_name!r}] = value",
            ]
            if isinstance(argument.type, GraphQLNonNull):
                body += ["    else:", "        raise ValueError"]
        return self.define(f"arguments_{call.name}", "variables", *body, "    return arguments")

    def _variable_type(self, variable: str, argument: GraphQLArgument) -> GraphQLInputType:
        """Return the stricter of the variable's and the argument's type."""
        definition = self._definitions[variable]
        kind = cast("GraphQLInputType", type_from_ast(self._schema, definition.type))
        is_same = str(get_nullable_type(kind)) == str(get_nullable_type(argument.type))
        if definition.default_value is not None or not is_same:
            raise CannotCompile
        return argument.type if isinstance(argument.type, GraphQLNonNull) else kind

    def _coerced(self, kind: GraphQLInputType, local: str, *, indent: str) -> list[str]:
        """Return lines that replace the value in `local` by the one for the resolver."""
        is_nullable = not isinstance(kind, GraphQLNonNull)
        lines = self._non_null(cast("GraphQLInputType", get_nullable_type(kind)), local)
        return null_guard(lines, local, is_nullable=is_nullable, indent=indent)

    def _non_null(self, kind: GraphQLInputType, local: str) -> list[str]:
        if isinstance(kind, GraphQLInputObjectType):
            return [f"{local} = {self._object(kind)}({local})"]
        if isinstance(kind, GraphQLList):
            return [f"{local} = {self._list(kind.of_type)}({local})"]
        if isinstance(kind, GraphQLEnumType):
            members = {name: kind.parse_value(name) for name in kind.values}
            return [f"{local} = {self.add(members, 'members')}[{local}]"]
        if not isinstance(kind, GraphQLScalarType):
            raise CannotCompile
        return self.scalar_lines(kind, local, kind.coerce_input_value, "{0} is {1}")

    def _list(self, item: GraphQLInputType) -> str:
        lines = self._coerced(item, "item", indent="        ")
        return self.list_function("value", "type(value) is not list", lines)

    def _object(self, kind: GraphQLInputObjectType) -> str:
        definition = kind.extensions[DEFINITION]
        if kind.is_one_of or definition.from_input is not None:
            raise CannotCompile
        names = self.add(frozenset(kind.fields), "names")
        body = [
            f"    if type(value) is not dict or not value.keys() <= {names}:",
            "        raise ValueError",
        ]
        arguments = []
        for number, field in enumerate(definition.fields):
            # Its value would have to be created anew for each execution.
            if field.default_factory is not MISSING:
                raise CannotCompile
            name = self._converter.config.name_converter.from_field(field)
            local = f"v{number}"
            body += self._field(kind.fields[name], name, local, field.default_value)
            arguments.append(f"{field.python_name}={local}")
        origin = self.add(definition.origin, f"class_{kind.name}")
        return self.define(
            kind.name, "value", *body, f"    return {origin}({', '.join(arguments)})"
        )

    def _field(
        self, definition: GraphQLInputField, name: str, local: str, default: Any
    ) -> list[str]:
        lines = self._coerced(definition.type, local, indent="        ")
        absent = "raise ValueError"
        if default is not MISSING:
            absent = f"{local} = {self.add(default, 'default')}"
        elif not isinstance(definition.type, GraphQLNonNull):
            absent = f"{local} = None"
        return [
            f"    if {name!r} in value:",
            f"        {local} = value[{name!r}]",
            *lines,
            "    else:",
            f"        {absent}",
        ]
