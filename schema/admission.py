"""Rate limits, asked before an operation runs, once it is known what it is."""

from collections.abc import AsyncIterator

from graphql import FieldNode, OperationDefinitionNode, OperationType, get_operation_ast
from strawberry.extensions import SchemaExtension

from schema.context import Admitted


def counted_as(operation: OperationDefinitionNode) -> Admitted | None:
    """A mutation that opens uploads and nothing else is counted by them, each on its own."""
    opens_uploads = (
        isinstance(one, FieldNode) and one.name.value == "openUpload"
        for one in operation.selection_set.selections
    )
    if all(opens_uploads):
        return None
    return "mutation" if operation.operation == OperationType.MUTATION else "query"


class Admission(SchemaExtension):
    async def on_execute(self) -> AsyncIterator[None]:
        execution = self.execution_context
        document = execution.graphql_document
        operation = get_operation_ast(document, execution.operation_name) if document else None
        kind = counted_as(operation) if operation else None
        if kind is not None:
            await execution.context.admit(kind)
        yield
