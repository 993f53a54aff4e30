"""Count the complexity of operations in one pass that needs no validation."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLList,
    GraphQLNamedType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
    VariableDefinitionNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_composite_type,
    is_introspection_type,
)

from schema.pagination import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE

PAGE_SIZE_ARGUMENTS = ("first", "last")
# The maximum size of squads in a usual season.
DEFAULT_SQUAD_SIZE = 15
# The key of the squad size among page sizes; no variable can have this name.
SQUAD_SIZE_KEY = "players[]"
# Lists whose length depends on the size of squads.
SQUAD_LISTS = ("players", "blockers")
# The maximum length of lists without pages, by the names of their fields.
LIST_SIZES = {
    "players": DEFAULT_SQUAD_SIZE,
    "documents": 3,
    "issues": 200,
    "history": 100,
    "blockers": 50,
    "playersElsewhere": 50,
    "errorCatalog": 40,
    "details": 5,
    "results": 100,
    "organisers": 500,
    "sessions": 500,
    "apiTokens": 500,
    "registeredByDay": 100,
}
DEFAULT_LIST_SIZE = 10
# Lists of a connection, whose length is the page size of the field above.
CONNECTION_LISTS = frozenset(("edges", "nodes"))
# The cost of expensive fields; other fields cost 1.
FIELD_COSTS = {"validateTeam": 250, "health": 50}
# Fields of `__type` that anonymous callers may select.
PUBLIC_TYPE_FIELDS = ("name", "__typename")
# Nested fragments multiply counts; all of them stop here, above any limit.
MAX_COUNT = 1_000_000_000


class Limit(StrEnum):
    """Limits of an operation, as in `details.limit`."""

    CHARACTERS = "characters"
    TOKENS = "tokens"
    NESTING = "nesting"
    DEPTH = "depth"
    ALIASES = "aliases"
    ROOT_FIELDS = "rootFields"
    DIRECTIVES = "directives"
    VARIABLES = "variables"
    COST = "cost"
    COMPARISONS = "comparisons"
    VALUES = "values"
    ANSWER_BYTES = "answerBytes"


PageSizes = tuple[tuple[str, int], ...]
"""Names and values of variables that are page sizes, and `SQUAD_SIZE_KEY`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingSelection:
    """A selection set at a depth, whose objects occur up to `times` times in the response."""

    selection_set: SelectionSetNode
    parent: GraphQLNamedType | None
    depth: int = 0
    times: int = 1


@dataclass(slots=True)
class Complexity:
    """The complexity of an operation or a fragment, with the fragments that it spreads.

    `literals` counts literal values of arguments, `uses` how often arguments use each variable.
    """

    counts: Counter[Limit] = field(default_factory=Counter)
    has_introspection: bool = False
    literals: int = 0
    uses: Counter[str] = field(default_factory=Counter)

    def add(self, limit: Limit, number: int) -> None:
        self.counts[limit] = min(self.counts[limit] + number, MAX_COUNT)

    def raise_depth(self, depth: int) -> None:
        self.counts[Limit.DEPTH] = max(self.counts[Limit.DEPTH], depth)

    def add_fragment(self, fragment: "Complexity", selection: PendingSelection) -> None:
        self.raise_depth(selection.depth + fragment.counts[Limit.DEPTH])
        self.add(Limit.COST, selection.times * fragment.counts[Limit.COST])
        self.add(Limit.ALIASES, fragment.counts[Limit.ALIASES])
        self.add(Limit.DIRECTIVES, fragment.counts[Limit.DIRECTIVES])
        if selection.depth == 0:
            self.add(Limit.ROOT_FIELDS, fragment.counts[Limit.ROOT_FIELDS])
        self.has_introspection = self.has_introspection or fragment.has_introspection
        self.literals = min(self.literals + fragment.literals, MAX_COUNT)
        for name, uses in fragment.uses.items():
            self.add_variable_use(name, uses)

    def add_variable_use(self, variable: str, times: int = 1) -> None:
        self.uses[variable] = min(self.uses[variable] + times, MAX_COUNT)

    def add_value(self, value: ValueNode) -> None:
        """Count an argument's value and all values inside it."""
        pending = [value]
        while pending:
            node = pending.pop()
            if isinstance(node, VariableNode):
                self.add_variable_use(node.name.value)
                continue
            self.literals = min(self.literals + 1, MAX_COUNT)
            pending += child_values(node)


class ComplexityVisitor:
    """Counts the complexity of a document's operations; each fragment is visited once."""

    def __init__(
        self, schema: GraphQLSchema, document: DocumentNode, page_sizes: PageSizes = ()
    ) -> None:
        self._schema = schema
        self._page_sizes = dict(page_sizes)
        self._list_sizes = _list_sizes(self._page_sizes.get(SQUAD_SIZE_KEY, DEFAULT_SQUAD_SIZE))
        self._definitions = document.definitions
        self._fragments = {
            node.name.value: node
            for node in document.definitions
            if isinstance(node, FragmentDefinitionNode)
        }
        self._counted: dict[str, Complexity] = {}

    def operations(self) -> Mapping[str | None, Complexity]:
        """Return the complexity of each operation by its name."""
        return {
            node.name.value if node.name else None: self._operation(node)
            for node in self._definitions
            if isinstance(node, OperationDefinitionNode)
        }

    def _operation(self, node: OperationDefinitionNode) -> Complexity:
        complexity = self._selections(
            node.selection_set, self._schema.get_root_type(node.operation)
        )
        variables = node.variable_definitions or ()
        complexity.add(Limit.VARIABLES, len(variables))
        nodes: tuple[OperationDefinitionNode | VariableDefinitionNode, ...] = (node, *variables)
        for node_with_directives in nodes:
            complexity.add(Limit.DIRECTIVES, len(node_with_directives.directives or ()))
        return complexity

    def _fragment(self, name: str) -> Complexity:
        if name not in self._counted:
            # Validation refuses cycles; a fragment counts as nothing within itself.
            self._counted[name] = Complexity()
            if node := self._fragments.get(name):
                parent = self._schema.get_type(node.type_condition.name.value)
                complexity = self._selections(node.selection_set, parent)
                complexity.add(Limit.DIRECTIVES, len(node.directives or ()))
                self._counted[name] = complexity
        return self._counted[name]

    def _selections(
        self, selection_set: SelectionSetNode, parent: GraphQLNamedType | None
    ) -> Complexity:
        complexity = Complexity()
        # Only fragments recurse: selections may be nested more deeply than Python calls.
        pending = [PendingSelection(selection_set=selection_set, parent=parent)]
        while pending:
            selection = pending.pop()
            for node in selection.selection_set.selections:
                complexity.add(Limit.DIRECTIVES, len(node.directives or ()))
                if isinstance(node, FragmentSpreadNode):
                    complexity.add_fragment(self._fragment(node.name.value), selection)
                elif isinstance(node, InlineFragmentNode):
                    pending.append(self._inline_fragment(node, selection))
                elif isinstance(node, FieldNode):
                    pending.extend(self._field(node, selection, complexity))
        return complexity

    def _inline_fragment(
        self, node: InlineFragmentNode, selection: PendingSelection
    ) -> PendingSelection:
        condition = node.type_condition
        parent = self._schema.get_type(condition.name.value) if condition else selection.parent
        return replace(selection, selection_set=node.selection_set, parent=parent)

    def _field(
        self, node: FieldNode, selection: PendingSelection, complexity: Complexity
    ) -> Iterator[PendingSelection]:
        """Count a field; yield its own selection set, if it has one."""
        name = node.name.value
        is_introspection = selection.parent is not None and is_introspection_type(selection.parent)
        depth = selection.depth if is_introspection else selection.depth + 1
        complexity.raise_depth(depth)
        complexity.add(Limit.COST, selection.times * FIELD_COSTS.get(name, 1))
        for argument in node.arguments or ():
            complexity.add_value(argument.value)
        complexity.add(Limit.ALIASES, int(node.alias is not None))
        complexity.add(Limit.ROOT_FIELDS, int(selection.depth == 0))
        if name == "__schema" or (is_introspection and name not in PUBLIC_TYPE_FIELDS):
            complexity.has_introspection = True
        if node.selection_set:
            definition = self._definition(selection.parent, name)
            yield PendingSelection(
                selection_set=node.selection_set,
                parent=get_named_type(definition.type) if definition else None,
                depth=depth,
                times=min(
                    selection.times * self._entries(node, definition, is_introspection), MAX_COUNT
                ),
            )

    def _definition(self, parent: GraphQLNamedType | None, name: str) -> GraphQLField | None:
        return self._schema.get_field(parent, name) if is_composite_type(parent) else None

    def _entries(
        self, node: FieldNode, definition: GraphQLField | None, is_introspection: bool
    ) -> int:
        """Return how many entries a list field may have; 1 for other fields."""
        name = node.name.value
        if definition is None or definition.args.keys().isdisjoint(PAGE_SIZE_ARGUMENTS):
            is_unpaginated_list = (
                definition is not None
                and isinstance(get_nullable_type(definition.type), GraphQLList)
                and name not in CONNECTION_LISTS
                and not is_introspection
            )
            return self._list_sizes.get(name, DEFAULT_LIST_SIZE if is_unpaginated_list else 1)
        arguments = node.arguments or ()
        sizes = [
            self._size(argument.value)
            for argument in arguments
            if argument.name.value in PAGE_SIZE_ARGUMENTS
        ]
        return max(sizes, default=DEFAULT_PAGE_SIZE)

    def _size(self, value: ValueNode) -> int:
        if isinstance(value, VariableNode):
            return self._page_sizes.get(value.name.value, DEFAULT_PAGE_SIZE)
        return _literal_size(value)


def _list_sizes(squad_size: int) -> Mapping[str, int]:
    """Return the sizes of lists for squads of this size, at least 15."""
    additional_players = max(0, squad_size - DEFAULT_SQUAD_SIZE)
    if additional_players == 0:
        return LIST_SIZES
    return LIST_SIZES | {
        "players": DEFAULT_SQUAD_SIZE + additional_players,
        "blockers": LIST_SIZES["blockers"] + additional_players * LIST_SIZES["documents"],
    }


def page_sizes(operation: OperationDefinitionNode, variables: Mapping[str, Any]) -> PageSizes:
    """Return the numeric variables of the operation as page sizes, clamped to the allowed range."""
    sizes = []
    for definition in operation.variable_definitions or ():
        name = definition.variable.name.value
        if isinstance(value := variables.get(name), int | float):
            sizes.append((name, _clamped(value)))
        elif name not in variables and definition.default_value:
            sizes.append((name, _literal_size(definition.default_value)))
    return tuple(sizes)


def _literal_size(value: ValueNode) -> int:
    # Python refuses to convert thousands of digits.
    return _clamped(int(value.value[:9])) if isinstance(value, IntValueNode) else DEFAULT_PAGE_SIZE


def _clamped(size: float) -> int:
    return int(max(1, min(size, MAX_PAGE_SIZE)))


def child_values(node: ValueNode) -> list[ValueNode]:
    """Return the values directly inside a list or object literal."""
    if isinstance(node, ListValueNode):
        return list(node.values)
    if isinstance(node, ObjectValueNode):
        return [field.value for field in node.fields]
    return []


def count_argument_values(
    complexity: Complexity,
    operation: OperationDefinitionNode,
    variables: Mapping[str, Any],
    *,
    stop_above: int,
) -> int:
    """Count the values in the operation's arguments; a variable counts at each use, at least once.

    Counting stops at `stop_above` + 1.
    """
    count = complexity.literals
    defaults = _defaults(operation)
    for name in variables.keys() | defaults.keys():
        size = defaults.get(name, 0)
        if name in variables:
            size = 1 + count_nested_values(variables[name], stop_above=stop_above)
        count += size * max(complexity.uses[name], 1)
    return min(count, stop_above + 1)


def _defaults(operation: OperationDefinitionNode) -> dict[str, int]:
    """Count the values in the default of each variable."""
    sizes = {}
    for definition in operation.variable_definitions or ():
        if definition.default_value is not None:
            default = Complexity()
            default.add_value(definition.default_value)
            sizes[definition.variable.name.value] = default.literals
    return sizes


def count_nested_values(value: object, *, stop_above: int) -> int:
    """Count the values inside a JSON value at any depth. Counting stops at `stop_above` + 1."""
    pending = [value]
    count = 0
    while pending and count <= stop_above:
        current = pending.pop()
        # Decoded JSON has no other container types.
        if type(current) is dict:
            inner = list(current.values())
        elif type(current) is list:
            inner = current
        else:
            continue
        count += len(inner)
        pending += [item for item in inner if type(item) is dict or type(item) is list]
    return min(count, stop_above + 1)
