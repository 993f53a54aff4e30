"""Rate limits, asked before an operation runs, once it is known what it is."""

from collections.abc import AsyncIterator

from graphql import FieldNode, OperationDefinitionNode, OperationType, get_operation_ast
from strawberry.extensions import SchemaExtension

from schema.context import Context


async def admit(operation: OperationDefinitionNode, context: Context) -> None:
    """A mutation that opens uploads and nothing else is counted by them, each on its own.

    Raises RateLimited, Forbidden.
    """
    opens_uploads = (
        isinstance(one, FieldNode) and one.name.value == "openUpload"
        for one in operation.selection_set.selections
    )
    if not all(opens_uploads):
        await context.admit(
            "mutation" if operation.operation == OperationType.MUTATION else "query"
        )


class Admission(SchemaExtension):
    async def on_execute(self) -> AsyncIterator[None]:
        execution = self.execution_context
        document = execution.graphql_document
        operation = get_operation_ast(document, execution.operation_name) if document else None
        if operation is not None:
            await admit(operation, execution.context)
        yield
