"""Selected fields of teams, players and churches that PostgreSQL renders as JSON."""

from collections.abc import Callable, Iterator
from typing import Any, cast

from graphql import Executor, GraphQLObjectType, get_named_type, is_abstract_type
from graphql.execution.collect_fields import FieldDetailsList
from orjson import Fragment

from observability.metrics import GRAPHQL_EXECUTIONS
from persistence.fast.json_rendering import JsonSql, Selection, json_expression
from schema.compiled.plan import RootField
from schema.context import Info

RENDERED_FIELDS = frozenset({"team", "teams", "player", "myTeam", "churches"})
"""Root fields whose objects PostgreSQL can render, alone or in pages."""

_RENDERED = GRAPHQL_EXECUTIONS.labels("rendered")
raw_json: Callable[[str], Any] = Fragment
"""Wraps JSON text that stands for the object which a resolver is declared to return.

Execution puts the text into the response as it is, without reading fields of the object.
"""


def json_projections(
    executor: Executor[Any], roots: list[RootField]
) -> Iterator[tuple[str, JsonSql]]:
    """Yield keys of root fields with the SQL expression that renders their objects.

    Fields are left out if their objects are selected more than once, or have to be read as records.
    """
    for root in roots:
        call = root.call
        if call is None or call.name not in RENDERED_FIELDS:
            continue
        kind = _object_type(call.parent, call.name)
        selections = [(kind, call.details)]
        if kind.name.endswith("Connection"):
            selections = list(_node_selections(executor, kind, call.details))
        tree = _selection(executor, *selections[0]) if len(selections) == 1 else None
        expression = None if tree is None else json_expression(selections[0][0].name, tree)
        if expression is not None:
            yield root.key, expression


def json_projection(info: Info, *, shows_all: bool = True) -> JsonSql | None:
    """Return the expression that renders the objects of a root field.

    None if they are read as records; callers who see masked values (`shows_all` is False) always
    read records.
    """
    expression = info.context.json_projections.get(str(info.path.key)) if shows_all else None
    if expression is not None:
        _RENDERED.inc()
    return expression


def _node_selections(
    executor: Executor[Any], connection: GraphQLObjectType, details: FieldDetailsList
) -> Iterator[tuple[GraphQLObjectType, FieldDetailsList]]:
    """Yield each selection of the nodes of a connection, with their type."""
    for chosen in executor.collect_subfields(connection, details).grouped_field_set.values():
        name = chosen[0].node.name.value
        if name not in {"nodes", "edges"}:
            continue
        kind = _object_type(connection, name)
        if name == "nodes":
            yield kind, chosen
            continue
        for below in executor.collect_subfields(kind, chosen).grouped_field_set.values():
            if below[0].node.name.value == "node":
                yield _object_type(kind, "node"), below


def _selection(
    executor: Executor[Any], kind: GraphQLObjectType, details: FieldDetailsList
) -> Selection | None:
    """Return keys, field names and nested selections; None with arguments or abstract types."""
    selection: list[tuple[str, str, Selection | None]] = []
    for key, chosen in executor.collect_subfields(kind, details).grouped_field_set.items():
        name, below = chosen[0].node.name.value, None
        if name != "__typename":
            definition = kind.fields[name]
            inner = get_named_type(definition.type)
            if definition.args or is_abstract_type(inner):
                return None
            if isinstance(inner, GraphQLObjectType):
                below = _selection(executor, inner, chosen)
                if below is None:
                    return None
        selection.append((key, name, below))
    return tuple(selection)


def _object_type(parent: GraphQLObjectType, name: str) -> GraphQLObjectType:
    """Return the object type of a field, without list and non-null wrappers."""
    return cast("GraphQLObjectType", get_named_type(parent.fields[name].type))
