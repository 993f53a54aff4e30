"""What is compiled, kept with the documents it was compiled from."""

from collections import OrderedDict
from collections.abc import AsyncIterable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from graphql import (
    FragmentDefinitionNode,
    GraphQLList,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLResolveInfo,
    NamedTypeNode,
    NonNullTypeNode,
    OperationDefinitionNode,
    get_named_type,
    is_abstract_type,
)
from graphql.execution.collect_fields import FieldDetailsList
from graphql.pyutils import AwaitableOrValue, Path
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from persistence.render import Selection
from resilience.metrics import COMPLETIONS
from schema.compile import Completion, Rendered, compiled

OPERATIONS_KEPT = 256
# Root fields whose teams PostgreSQL can print.
PRINTED = frozenset({"team", "teams"})
CONNECTION = "TeamConnection"
# Of one operation: conditions that differ, and selections.
CONDITIONS_KEPT = 16
_MISSING = object()
_COMPILED, _INTERPRETED, _REPEATED = (
    COMPLETIONS.labels(how) for how in ("compiled", "interpreted", "repeated")
)

Key = tuple[int, ...]


@dataclass(slots=True)
class Selected:
    """Plans of one operation under conditions, by the type and the nodes that select."""

    completions: dict[Key, Completion | None] = field(default_factory=dict)
    selections: dict[Key, Selection | None] = field(default_factory=dict)


@dataclass(slots=True)
class Plans:
    """Of one operation. Holds its nodes, so that their ids stay theirs."""

    operation: OperationDefinitionNode
    fragments: Mapping[str, FragmentDefinitionNode]
    conditions: tuple[str, ...]
    by_conditions: dict[tuple[Any, ...], Selected] = field(default_factory=dict)

    def under(self, variables: Mapping[str, Any]) -> Selected:
        """Those for these values of the conditions."""
        values = tuple(variables.get(name) for name in self.conditions)
        if values not in self.by_conditions:
            if len(self.by_conditions) >= CONDITIONS_KEPT:
                self.by_conditions.clear()
            self.by_conditions[values] = Selected()
        return self.by_conditions[values]


_PLANS: OrderedDict[int, Plans] = OrderedDict()


def plans_of(
    operation: OperationDefinitionNode, fragments: Mapping[str, FragmentDefinitionNode]
) -> Plans:
    """Made once as long as the document is kept."""
    known = _PLANS.get(id(operation))
    if known is not None:
        _PLANS.move_to_end(id(operation))
        return known
    plans = Plans(operation, fragments, _conditions(operation))
    _PLANS[id(operation)] = plans
    if len(_PLANS) > OPERATIONS_KEPT:
        _PLANS.popitem(last=False)
    return plans


def _conditions(operation: OperationDefinitionNode) -> tuple[str, ...]:
    """The variables that can decide what is selected: only Boolean ones are taken there."""
    names = []
    for definition in operation.variable_definitions or ():
        kind = (
            definition.type.type
            if isinstance(definition.type, NonNullTypeNode)
            else definition.type
        )
        if isinstance(kind, NamedTypeNode) and kind.name.value == "Boolean":
            names.append(definition.variable.name.value)
    return tuple(names)


def _key(kind: GraphQLOutputType, details: FieldDetailsList) -> Key:
    return (id(kind), *(id(one.node) for one in details))


def _object_of(parent: GraphQLObjectType, name: str) -> GraphQLObjectType:
    """The object type of a field, below lists and what is not null."""
    return cast("GraphQLObjectType", get_named_type(parent.fields[name].type))


class CompiledExecution(StrawberryGraphQLCoreExecutionContext):
    """graphql-core's executor, with compiled completion of objects and lists of them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        middlewares = self.middleware_manager.middlewares if self.middleware_manager else ()
        self._is_compiled = self.context_value.execution.compiled and not middlewares
        self._is_rendered = self._is_compiled and self.context_value.execution.rendered
        if self._is_compiled:
            plans = plans_of(self.operation, self.fragment_definitions)
            selected = plans.under(self.variable_values.coerced)
            self._plans, self._selections = selected.completions, selected.selections

    def execute_field(
        self,
        parent_type: GraphQLObjectType,
        source: Any,
        field_details_list: FieldDetailsList,
        path: Path,
        position_context: Any,
    ) -> Any:
        if path.prev is None and self._is_rendered and len(field_details_list) == 1:
            name = field_details_list[0].node.name.value
            if name in PRINTED:
                self.context_value.selections[path.key] = self._selection(
                    _object_of(parent_type, name), field_details_list
                )
        return super().execute_field(
            parent_type, source, field_details_list, path, position_context
        )

    def complete_object_value(  # noqa: PLR0913, PLR0917 - as it is called
        self,
        return_type: GraphQLObjectType,
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: Any,
        position_context: Any,
    ) -> AwaitableOrValue[dict[str, Any]]:
        if type(result) is Rendered:
            return result.fragment  # type: ignore[return-value]
        found = self._completed(return_type, field_details_list, result)
        if found is not _MISSING:
            return found  # type: ignore[no-any-return]
        return super().complete_object_value(
            return_type, field_details_list, info, path, result, position_context
        )

    def complete_list_value(  # noqa: PLR0913, PLR0917 - as it is called
        self,
        return_type: GraphQLList[GraphQLOutputType],
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: AsyncIterable[Any] | Iterable[Any],
        position_context: Any,
    ) -> AwaitableOrValue[list[Any]]:
        found = self._completed(return_type, field_details_list, result)
        if found is not _MISSING:
            return found  # type: ignore[no-any-return]
        return super().complete_list_value(
            return_type, field_details_list, info, path, result, position_context
        )

    def _completed(
        self, return_type: GraphQLOutputType, details: FieldDetailsList, result: Any
    ) -> Any:
        """What stands for the value in the answer; `_MISSING` leaves it to graphql-core."""
        if not self._is_compiled:
            return _MISSING
        key = _key(return_type, details)
        if key not in self._plans:
            self._plans[key] = compiled(return_type, details, self.collect_subfields)
        completion = self._plans[key]
        if completion is None:
            _INTERPRETED.inc()
            return _MISSING
        try:
            found = completion(result)
        except Exception:  # noqa: BLE001 - graphql-core finds out what it is, and says where
            _REPEATED.inc()
            return _MISSING
        _COMPILED.inc()
        return found

    def _selection(self, kind: GraphQLObjectType, details: FieldDetailsList) -> Selection | None:
        """What is selected of teams; None unless it is selected at one place."""
        key = _key(kind, details)
        if key not in self._selections:
            places = [(kind, details)]
            if kind.name == CONNECTION:
                places = list(self._nodes(kind, details))
            self._selections[key] = self._tree(*places[0]) if len(places) == 1 else None
        return self._selections[key]

    def _nodes(
        self, connection: GraphQLObjectType, details: FieldDetailsList
    ) -> Iterator[tuple[GraphQLObjectType, FieldDetailsList]]:
        """Where nodes of a connection are selected, with their type."""
        for chosen in self.collect_subfields(connection, details).grouped_field_set.values():
            name = chosen[0].node.name.value
            if name not in {"nodes", "edges"}:
                continue
            kind = _object_of(connection, name)
            if name == "nodes":
                yield kind, chosen
                continue
            for below in self.collect_subfields(kind, chosen).grouped_field_set.values():
                if below[0].node.name.value == "node":
                    yield _object_of(kind, "node"), below

    def _tree(self, kind: GraphQLObjectType, details: FieldDetailsList) -> Selection | None:
        """Keys, names and what is below; None for what has arguments or abstract types."""
        tree: list[tuple[str, str, Selection | None]] = []
        for key, chosen in self.collect_subfields(kind, details).grouped_field_set.items():
            name, below = chosen[0].node.name.value, None
            if name != "__typename":
                definition = kind.fields[name]
                inner = get_named_type(definition.type)
                if definition.args or is_abstract_type(inner):
                    return None
                if isinstance(inner, GraphQLObjectType):
                    below = self._tree(inner, chosen)
                    if below is None:
                        return None
            tree.append((key, name, below))
        return tuple(tree)
