"""Fill in required form fields that were left out.

GraphQL refuses variables without a required field before a resolver runs, with an error for the
first one only. For form fields, an issue for each is more useful: an omitted or null text is read
as an empty one, a person as one without values, a list as an empty one. Ids, versions and other
values that programs supply stay required.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLSchema,
    OperationDefinitionNode,
    get_nullable_type,
    type_from_ast,
)
from strawberry.schema.schema_converter import GraphQLCoreConverter

from schema.limits.text_rules import TEXT_RULE
from schema.scalars import is_lenient_scalar

WHEN_OMITTED = "when_omitted"
"""Key of a field's metadata for the value that replaces a missing one."""

Fill = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class _FieldDefault:
    """The replacement of a missing field, and a function that fills in fields inside a value.

    `empty` is None if a missing value stays missing: the field is optional, or GraphQL refuses the
    request without it. `fill` is None if nothing inside the value can be filled in.
    """

    empty: Any
    fill: Fill | None


class OmittedFieldFiller:
    """Fills omitted fields in variables of a schema's operations."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._objects: dict[str, _FieldDefault] = {}
        self._arguments = {
            str(get_nullable_type(argument.type))
            for root in (schema.query_type, schema.mutation_type)
            if root is not None
            for field in root.fields.values()
            for argument in field.args.values()
        }

    def fill(
        self, operation: OperationDefinitionNode, variables: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Return the variables with omitted fields filled in, the same object if none is."""
        filled: dict[str, Any] = {}
        for definition in operation.variable_definitions or ():
            name = definition.variable.name.value
            graphql_type: Any = type_from_ast(self._schema, definition.type)
            if graphql_type is None:
                continue
            default = self._default(graphql_type, {})
            value = variables.get(name)
            if value is None:
                is_whole_argument = str(get_nullable_type(graphql_type)) in self._arguments
                if (
                    default.empty is None
                    or is_whole_argument
                    or definition.default_value is not None
                ):
                    continue
                value = default.empty
            value = default.fill(value) if default.fill else value
            if value is not variables.get(name):
                filled[name] = value
        return {**variables, **filled} if filled else variables

    def _default(self, graphql_type: Any, metadata: Mapping[Any, Any]) -> _FieldDefault:
        """Return the default of a value of this type; `metadata` belongs to the field."""
        inner = get_nullable_type(graphql_type)
        is_required = isinstance(graphql_type, GraphQLNonNull)
        if isinstance(inner, GraphQLList):
            item = self._default(inner.of_type, metadata)
            empty: Any = [] if item.empty is not None or item.fill else None
            return _FieldDefault(empty if is_required else None, _each(item))
        if isinstance(inner, GraphQLInputObjectType):
            default = self._object(inner)
            return _FieldDefault(default.empty if is_required else None, default.fill)
        empty = metadata.get(WHEN_OMITTED)
        if empty is None and (TEXT_RULE in metadata or is_lenient_scalar(inner)):
            empty = ""
        return _FieldDefault(empty if is_required else None, None)

    def _object(self, graphql_type: GraphQLInputObjectType) -> _FieldDefault:
        if graphql_type.name not in self._objects:
            defaults = dict(self._fields(graphql_type))
            required = {name for name, field in graphql_type.fields.items() if _is_required(field)}
            is_fillable = all(defaults[name].empty is not None for name in required)
            self._objects[graphql_type.name] = _FieldDefault(
                {} if is_fillable else None, _object_filler(defaults)
            )
        return self._objects[graphql_type.name]

    def _fields(self, graphql_type: GraphQLInputObjectType) -> Iterator[tuple[str, _FieldDefault]]:
        for name, definition in graphql_type.fields.items():
            field = definition.extensions[GraphQLCoreConverter.DEFINITION_BACKREF]
            yield name, self._default(definition.type, field.metadata or {})


def _is_required(field: GraphQLInputField) -> bool:
    graphql_type: GraphQLInputType = field.type
    return isinstance(graphql_type, GraphQLNonNull)


def _object_filler(defaults: Mapping[str, _FieldDefault]) -> Fill | None:
    empties = [
        (name, default.empty) for name, default in defaults.items() if default.empty is not None
    ]
    nested = [
        (name, default.fill) for name, default in defaults.items() if default.fill is not None
    ]

    def fill(value: Any) -> Any:
        if type(value) is not dict:
            return value
        filled = {name: empty for name, empty in empties if value.get(name) is None}
        for name, fill_field in nested:
            before = filled.get(name, value.get(name))
            after = fill_field(before)
            if after is not before:
                filled[name] = after
        return {**value, **filled} if filled else value

    return fill if empties or nested else None


def _each(item: _FieldDefault) -> Fill | None:
    """Return a filler for lists; as in GraphQL, a single object stands for a list of one."""
    fill = item.fill
    if fill is None:
        return None

    def fill_items(value: Any) -> Any:
        if type(value) is not list:
            return fill(value)
        items = [fill(item.empty if entry is None else entry) for entry in value]
        is_unchanged = all(new is old for new, old in zip(items, value, strict=True))
        return value if is_unchanged else items

    return fill_items
