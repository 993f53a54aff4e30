"""What an operation selects of teams, players and churches, as PostgreSQL prints it."""

from collections.abc import Callable, Iterator
from typing import Any, cast

from graphql import Executor, GraphQLObjectType, get_named_type, is_abstract_type
from graphql.execution.collect_fields import FieldDetailsList
from orjson import Fragment

from observability.metrics import EXECUTIONS
from persistence.fast.json_rendering import JsonSql, Selection, json_expression
from schema.compiled.selection_compiler import Root
from schema.context import Info

# Root fields whose objects PostgreSQL can print, alone or in pages.
PRINTED = frozenset({"team", "teams", "player", "myTeam", "churches"})
_RENDERED = EXECUTIONS.labels("rendered")
# In the place of an object, which a resolver says that it returns.
shown: Callable[[str], Any] = Fragment


def printed_by(executor: Executor[Any], roots: list[Root]) -> Iterator[tuple[str, JsonSql]]:
    """By the key of a root field, what prints its objects at the one place where they are selected.

    Nothing for those that have to be read as records.
    """
    for root in roots:
        site = root.site
        if site is None or site.name not in PRINTED:
            continue
        kind = _object_of(site.parent, site.name)
        places = [(kind, site.details)]
        if kind.name.endswith("Connection"):
            places = list(_nodes(executor, kind, site.details))
        tree = _tree(executor, *places[0]) if len(places) == 1 else None
        text = None if tree is None else json_expression(places[0][0].name, tree)
        if text is not None:
            yield root.key, text


def printed(info: Info, *, shows_all: bool = True) -> JsonSql | None:
    """What prints the objects of a root field; None where they are read as records, as all are of
    which not everything is shown.
    """
    text = info.context.printed.get(str(info.path.key)) if shows_all else None
    if text is not None:
        _RENDERED.inc()
    return text


def _nodes(
    executor: Executor[Any], connection: GraphQLObjectType, details: FieldDetailsList
) -> Iterator[tuple[GraphQLObjectType, FieldDetailsList]]:
    """Where nodes of a connection are selected, with their type."""
    for chosen in executor.collect_subfields(connection, details).grouped_field_set.values():
        name = chosen[0].node.name.value
        if name not in {"nodes", "edges"}:
            continue
        kind = _object_of(connection, name)
        if name == "nodes":
            yield kind, chosen
            continue
        for below in executor.collect_subfields(kind, chosen).grouped_field_set.values():
            if below[0].node.name.value == "node":
                yield _object_of(kind, "node"), below


def _tree(
    executor: Executor[Any], kind: GraphQLObjectType, details: FieldDetailsList
) -> Selection | None:
    """Keys, names and what is below; None for what has arguments or abstract types."""
    tree: list[tuple[str, str, Selection | None]] = []
    for key, chosen in executor.collect_subfields(kind, details).grouped_field_set.items():
        name, below = chosen[0].node.name.value, None
        if name != "__typename":
            definition = kind.fields[name]
            inner = get_named_type(definition.type)
            if definition.args or is_abstract_type(inner):
                return None
            if isinstance(inner, GraphQLObjectType):
                below = _tree(executor, inner, chosen)
                if below is None:
                    return None
        tree.append((key, name, below))
    return tuple(tree)


def _object_of(parent: GraphQLObjectType, name: str) -> GraphQLObjectType:
    """The object type of a field, below lists and what is not null."""
    return cast("GraphQLObjectType", get_named_type(parent.fields[name].type))
