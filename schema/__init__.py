"""The GraphQL schema."""

from collections.abc import AsyncIterator, Iterator

from graphql import FieldNode, GraphQLError, OperationDefinitionNode, get_operation_ast
from strawberry import Schema
from strawberry.extensions import SchemaExtension, ValidationCache
from strawberry.schema.config import StrawberryConfig
from strawberry.types.execution import ExecutionContext as StrawberryExecution

from domain.errors import BadUserInput
from schema.context import Context
from schema.limits import DOCUMENTS_KEPT, Comparisons, Limits, Parsing, label_of
from schema.mutations import Mutation
from schema.objects import Team
from schema.plans import CompiledExecution
from schema.queries import Query
from schema.scalars import SCALARS


class QuietSchema(Schema):
    """Errors are logged where they are published (`schema/errors.py`), not here."""

    def process_errors(
        self, errors: list[GraphQLError], execution_context: StrawberryExecution | None = None
    ) -> None:
        pass


class OneOperation(SchemaExtension):
    """Refuses to guess which operation of a document is meant."""

    def on_validate(self) -> Iterator[None]:
        context: Context = self.execution_context.context
        document = self.execution_context.graphql_document
        definitions = document.definitions if document is not None else ()
        operations = sum(isinstance(one, OperationDefinitionNode) for one in definitions)
        if operations > 1 and context.operation_name is None:
            raise BadUserInput("operationName has to name one operation of the document.")
        yield


class Admission(SchemaExtension):
    """Asks the rate limits before an operation runs, once it is known what it is.

    A mutation that opens uploads and nothing else is counted by them, each on its own.
    """

    async def on_execute(self) -> AsyncIterator[None]:
        execution = self.execution_context
        if "openUpload" not in (execution.query or "") or not _only_opens_uploads(execution):
            await execution.context.admit(execution.operation_type.value)
        yield


def _only_opens_uploads(execution: StrawberryExecution) -> bool:
    document = execution.graphql_document
    operation = get_operation_ast(document, execution.operation_name) if document else None
    return operation is not None and all(
        isinstance(selection, FieldNode) and selection.name.value == "openUpload"
        for selection in operation.selection_set.selections
    )


schema = QuietSchema(
    query=Query,
    mutation=Mutation,
    types=[Team],
    execution_context_class=CompiledExecution,
    config=StrawberryConfig(scalar_map=SCALARS),
    extensions=[
        Parsing,
        OneOperation,
        Limits,
        lambda: ValidationCache(maxsize=DOCUMENTS_KEPT),
        Comparisons,
        Admission,
    ],
)


def operation_label(text: str, operation_name: str | None) -> tuple[str, str]:
    """Type and name of an operation for statistics: a bounded set, nothing that clients chose."""
    return label_of(schema._schema, text, operation_name)  # noqa: SLF001 - as Strawberry's own do
