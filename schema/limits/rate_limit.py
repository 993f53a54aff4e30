"""Rate limits of operations, checked after validation and before execution."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    get_operation_ast,
)
from strawberry.extensions import SchemaExtension

from schema.context import RateLimitKind
from schema.limits.query_limits import document_cache

# Each opened upload is counted by its resolver, as an upload.
SEPARATELY_COUNTED_FIELDS = frozenset(("openUpload", "__typename"))


@dataclass(frozen=True, slots=True)
class Charge:
    """A number of operations of a kind that count against the rate limit together."""

    kind: RateLimitKind
    count: int = 1


def operation_charge(document: DocumentNode, operation: OperationDefinitionNode) -> Charge | None:
    """Return 1 for a query, and for mutations their number, aliases included.

    Skipped fields count too. None for mutations that only open uploads.
    """
    if operation.operation != OperationType.MUTATION:
        return Charge("query")
    keys = _mutations(document, operation.selection_set)
    return Charge("mutation", len(keys)) if keys else None


def kind_before_parsing(text: str, operation_name: str | None) -> RateLimitKind | None:
    """Return the kind that a request counts as, without parsing its document.

    "upload" for a mutation that opens uploads and does nothing else. None for a document that is
    not known and may be a mutation.
    """
    document = document_cache.find(text)
    if document is None:
        # GraphQL has no escapes outside of strings: every mutation contains this word.
        return None if "mutation" in text else "query"
    operation = get_operation_ast(document.node, operation_name)
    if operation is None:
        return "query"
    charge = operation_charge(document.node, operation)
    return "upload" if charge is None else charge.kind


def _mutations(document: DocumentNode, selection_set: SelectionSetNode) -> set[str]:
    """Return the response keys of root fields. Each fragment is visited once."""
    fragments = {
        node.name.value: node
        for node in document.definitions
        if isinstance(node, FragmentDefinitionNode)
    }
    pending, spread, keys = [selection_set], set[str](), set[str]()
    while pending:
        for field in _fields(pending.pop(), fragments, pending, spread):
            if field.name.value not in SEPARATELY_COUNTED_FIELDS:
                keys.add((field.alias or field.name).value)
    return keys


def _fields(
    selection_set: SelectionSetNode,
    fragments: dict[str, FragmentDefinitionNode],
    pending: list[SelectionSetNode],
    spread: set[str],
) -> Iterator[FieldNode]:
    """Yield the set's own fields; append the sets of its fragments to `pending`."""
    for selection in selection_set.selections:
        if isinstance(selection, FieldNode):
            yield selection
        elif isinstance(selection, InlineFragmentNode):
            pending.append(selection.selection_set)
        elif isinstance(selection, FragmentSpreadNode):
            name = selection.name.value
            if name in fragments and name not in spread:
                spread.add(name)
                pending.append(fragments[name].selection_set)


class RateLimitExtension(SchemaExtension):
    async def on_execute(self) -> AsyncIterator[None]:
        execution = self.execution_context
        document = execution.graphql_document
        operation = get_operation_ast(document, execution.operation_name) if document else None
        charge = operation_charge(document, operation) if document and operation else None
        if charge is not None:
            await execution.context.check_rate_limit(charge.kind, charge.count)
        yield
