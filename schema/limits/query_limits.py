"""Limits on the complexity of documents and on introspection, checked before validation."""

from collections.abc import AsyncIterator, Iterator, Mapping
from functools import partial
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    get_operation_ast,
)
from graphql.language.parser import MAX_NESTING_DEPTH
from graphql.validation.rules import overlapping_fields_can_be_merged
from strawberry.extensions import SchemaExtension
from strawberry.schema.schema import validate_document

from domain.auth.roles import Caller, Role, has_role
from domain.errors.exceptions import GraphqlValidationFailed, MalformedRequest, QueryTooComplex
from domain.tournaments import NUMBER_RANGES
from resolvers.tournaments.queries import max_squad_size
from schema.context import Context
from schema.limits.complexity import (
    DEFAULT_SQUAD_SIZE,
    SQUAD_LISTS,
    SQUAD_SIZE_KEY,
    Complexity,
    ComplexityVisitor,
    Limit,
    PageSizes,
    count_argument_values,
    count_nested_values,
    page_sizes,
)
from schema.limits.document_cache import MAX_PAGE_SIZE_VARIANTS, DocumentCache, ParsedDocument

LIMITS: Mapping[Limit, int] = {
    Limit.CHARACTERS: 50_000,
    Limit.TOKENS: 2_000,
    Limit.NESTING: MAX_NESTING_DEPTH,
    Limit.DEPTH: 10,
    Limit.ALIASES: 15,
    Limit.ROOT_FIELDS: 10,
    Limit.DIRECTIVES: 50,
    Limit.VARIABLES: 200,
    Limit.COMPARISONS: 50_000,
    Limit.VALUES: 2_000,
    Limit.ANSWER_BYTES: 4 << 20,
}
# Limits of the counts in a Complexity; the others are checked where their number is known.
COUNTED_LIMITS = (
    Limit.DEPTH,
    Limit.ALIASES,
    Limit.ROOT_FIELDS,
    Limit.DIRECTIVES,
    Limit.VARIABLES,
)
_INTROSPECTION = ("__schema", "__type", "__typename")
PUBLIC_COST_BUDGET = 2_000
ORGANISER_COST_BUDGET = 100_000
MAX_SQUAD_SIZE = NUMBER_RANGES["squad_max"][1]

# Validation compares fields in pairs; graphql-core's own limit allows a second of work.
overlapping_fields_can_be_merged.MAX_COMPLEXITY_BUDGET = LIMITS[Limit.COMPARISONS]


def cost_budget(caller: Caller) -> int:
    """Return the maximum cost of one operation of the caller."""
    return ORGANISER_COST_BUDGET if has_role(caller, Role.VIEWER) else PUBLIC_COST_BUDGET


def require_within(limit: Limit, allowed: int, actual: int) -> None:
    """Check a count against its limit. Raises QueryTooComplex."""
    if actual > allowed:
        raise QueryTooComplex(limit=limit, allowed=allowed, actual=actual)


def limit_exceeded(limit: Limit) -> QueryTooComplex:
    """Return the error for a limit where counting stopped."""
    return QueryTooComplex(limit=limit, allowed=LIMITS[limit], actual=LIMITS[limit] + 1)


document_cache = DocumentCache()


def load_document_node(text: str) -> DocumentNode:
    """Return the syntax tree of a document. Raises QueryTooComplex, GraphQLError."""
    return load_document(text).node


def load_document(text: str) -> ParsedDocument:
    """Return a document from the cache, or parse it. Raises QueryTooComplex, GraphQLError."""
    return document_cache.find(text) or _parse(text)


def _parse(text: str) -> ParsedDocument:
    require_within(Limit.CHARACTERS, LIMITS[Limit.CHARACTERS], len(text))
    try:
        return document_cache.parse(text, max_tokens=LIMITS[Limit.TOKENS])
    except GraphQLError as error:
        if error.message.endswith("tokens. Parsing aborted."):
            raise limit_exceeded(Limit.TOKENS) from error
        if error.message.endswith("nested too deeply. Parsing aborted."):
            raise limit_exceeded(Limit.NESTING) from error
        raise


def complexity_by_operation(
    schema: GraphQLSchema, text: str, page_sizes: PageSizes
) -> Mapping[str | None, Complexity]:
    """Return the complexity of each operation by its name, after checking its limits.

    Raises QueryTooComplex.
    """
    document = load_document(text)
    operations = document.complexities.get((schema, page_sizes))
    if operations is not None:
        return operations
    operations = ComplexityVisitor(schema, document.node, page_sizes).operations()
    for complexity in operations.values():
        for limit in COUNTED_LIMITS:
            require_within(limit, LIMITS[limit], complexity.counts[limit])
    if len(document.complexities) >= MAX_PAGE_SIZE_VARIANTS:
        document.complexities.clear()
    document.complexities[schema, page_sizes] = operations
    return operations


def operation_label(
    schema: GraphQLSchema, text: str, operation_name: str | None
) -> tuple[str, str]:
    """Return type and root field of the operation for metrics, never text from the client."""
    try:
        document = load_document(text)
    except (GraphQLError, QueryTooComplex):
        return "none", "invalid"
    label = document.labels.get((schema, operation_name))
    if label is not None:
        return label
    operation = get_operation_ast(document.node, operation_name)
    label = _label(schema, operation)
    if operation is not None:
        document.labels[schema, operation_name] = label
    return label


def _label(schema: GraphQLSchema, operation: OperationDefinitionNode | None) -> tuple[str, str]:
    root = schema.get_root_type(operation.operation) if operation else None
    if operation is None or root is None:
        return "none", "invalid"
    kind, selections = operation.operation.value, operation.selection_set.selections
    if len(selections) > 1 or not isinstance(selections[0], FieldNode):
        return kind, "several"
    name = selections[0].name.value
    return kind, name if name in (*root.fields, *_INTROSPECTION) else "invalid"


class ParserCache(SchemaExtension):
    """Parses each document once."""

    def on_parse(self) -> Iterator[None]:
        self.execution_context.graphql_document = load_document_node(
            self.execution_context.query or ""
        )
        yield


def require_operation(text: str, name: str | None) -> OperationDefinitionNode:
    """Return the operation with this name, or the only one. Raises MalformedRequest."""
    operation = get_operation_ast(load_document_node(text), name)
    if operation is None:
        raise MalformedRequest("The document has no operation with this operationName.")
    return operation


def check_limits(  # noqa: PLR0913 - an operation and its caller
    schema: GraphQLSchema,
    text: str,
    operation: OperationDefinitionNode,
    variables: Mapping[str, Any],
    context: Context,
    *,
    squad_size: int = DEFAULT_SQUAD_SIZE,
) -> int:
    """Check all limits except the budget. Returns the operation's cost for this size of squads.

    Raises QueryTooComplex, and GraphqlValidationFailed if introspection is not allowed.
    """
    max_values = LIMITS[Limit.VALUES]
    # Checked first: counting the whole document takes longer.
    require_within(
        Limit.VALUES, max_values, count_nested_values(dict(variables), stop_above=max_values)
    )
    sizes = page_sizes(operation, variables)
    if squad_size != DEFAULT_SQUAD_SIZE and any(name in text for name in SQUAD_LISTS):
        sizes = (*sizes, (SQUAD_SIZE_KEY, squad_size))
    operations = complexity_by_operation(schema, text, sizes)
    complexity = operations[operation.name.value if operation.name else None]
    values = count_argument_values(complexity, operation, variables, stop_above=max_values)
    require_within(Limit.VALUES, max_values, values)
    introspects = any(each.has_introspection for each in operations.values())
    if introspects and not context.may_introspect:
        raise GraphqlValidationFailed("Introspection needs an organiser's sign-in.")
    return complexity.counts[Limit.COST]


async def estimate_cost(
    schema: GraphQLSchema,
    text: str,
    operation: OperationDefinitionNode,
    variables: Mapping[str, Any],
    context: Context,
) -> int:
    """Return the operation's cost, with the maximum size of squads of the open season.

    The season is only read if it decides whether the cost is within the budget, or if the response
    contains the cost. Raises QueryTooComplex, GraphqlValidationFailed.
    """
    cost_for = partial(check_limits, schema, text, operation, variables, context)
    maximum = cost_for(squad_size=MAX_SQUAD_SIZE)
    if maximum <= cost_budget(context.caller) and not context.wants_cost:
        return maximum
    default = cost_for()
    if maximum == default:
        return default
    return cost_for(squad_size=max(DEFAULT_SQUAD_SIZE, await max_squad_size(context.services)))


def require_within_budget(cost: int, caller: Caller) -> None:
    """Check the cost against the caller's budget. Raises QueryTooComplex."""
    require_within(Limit.COST, cost_budget(caller), cost)


class QueryLimits(SchemaExtension):
    """Refuses documents that exceed a limit, or introspect without permission."""

    _cost: int | None = None

    async def on_validate(self) -> AsyncIterator[None]:
        execution = self.execution_context
        schema = execution.schema._schema  # noqa: SLF001 - as Strawberry's own extensions
        context, text = execution.context, execution.query or ""
        operation = require_operation(text, context.operation_name)
        self._cost = await estimate_cost(
            schema, text, operation, execution.variables or {}, context
        )
        require_within_budget(self._cost, context.caller)
        yield

    def get_results(self) -> dict[str, Any]:
        context: Context = self.execution_context.context
        if self._cost is None or not context.wants_cost:
            return {}
        return {"cost": {"requested": self._cost, "allowed": cost_budget(context.caller)}}


class CachedValidation(SchemaExtension):
    """Validates each document once."""

    def on_validate(self) -> Iterator[None]:
        execution = self.execution_context
        schema = execution.schema._schema  # noqa: SLF001 - as Strawberry's own extensions
        document = load_document(execution.query or "")
        errors: list[GraphQLError] = []
        if schema not in document.valid_in:
            errors = validate_document(schema, document.node, execution.validation_rules)
        if not errors:
            document.valid_in.add(schema)
        execution.pre_execution_errors = errors
        yield


class ValidationBudget(SchemaExtension):
    """Reports an aborted validation as QueryTooComplex."""

    def on_validate(self) -> Iterator[None]:
        errors = self.execution_context.pre_execution_errors or ()
        if any(error.message == "Validation aborted." for error in errors):
            raise limit_exceeded(Limit.COMPARISONS)
        yield
