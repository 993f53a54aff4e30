"""The GraphQL schema."""

from collections.abc import AsyncIterator, Iterator

from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLError,
    OperationDefinitionNode,
    Visitor,
    get_operation_ast,
    visit,
)
from strawberry import Schema
from strawberry.extensions import (
    MaxTokensLimiter,
    ParserCache,
    SchemaExtension,
    ValidationCache,
)
from strawberry.schema.config import StrawberryConfig
from strawberry.types.execution import ExecutionContext as StrawberryExecution

from domain.errors import BadUserInput
from schema.context import Context
from schema.mutations import Mutation
from schema.objects import Team
from schema.queries import Query
from schema.scalars import SCALARS

TOKENS_MAX = 2_000
DOCUMENTS_KEPT = 256


class QuietSchema(Schema):
    """Errors are logged where they are published (`schema/errors.py`), not here."""

    def process_errors(
        self, errors: list[GraphQLError], execution_context: StrawberryExecution | None = None
    ) -> None:
        pass


class Introspection(SchemaExtension):
    """Refuses `__schema` where it is not allowed; `__type` and `__typename` stay."""

    def on_validate(self) -> Iterator[None]:
        context: Context = self.execution_context.context
        document = self.execution_context.graphql_document
        # The text is asked first, since few documents have the word in it.
        if (
            not context.may_introspect
            and "__schema" in (self.execution_context.query or "")
            and document is not None
            and _asks_for_schema(document)
        ):
            refusal = GraphQLError("The schema is not shown to anonymous callers.")
            self.execution_context.pre_execution_errors = [refusal]
        yield


class OneOperation(SchemaExtension):
    """Refuses to guess which operation of a document is meant."""

    def on_validate(self) -> Iterator[None]:
        context: Context = self.execution_context.context
        document = self.execution_context.graphql_document
        definitions = document.definitions if document is not None else ()
        operations = sum(isinstance(one, OperationDefinitionNode) for one in definitions)
        if operations > 1 and context.operation_name is None:
            error = BadUserInput("operationName has to name one operation of the document.")
            refusal = GraphQLError(error.message, original_error=error)
            self.execution_context.pre_execution_errors = [refusal]
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


class _SchemaField(Visitor):
    is_asked = False

    def enter_field(self, node: FieldNode, *_: object) -> None:
        self.is_asked = self.is_asked or node.name.value == "__schema"


def _asks_for_schema(document: DocumentNode) -> bool:
    finder = _SchemaField()
    visit(document, finder)
    return finder.is_asked


schema = QuietSchema(
    query=Query,
    mutation=Mutation,
    types=[Team],
    config=StrawberryConfig(scalar_map=SCALARS),
    extensions=[
        lambda: MaxTokensLimiter(max_token_count=TOKENS_MAX),
        lambda: ParserCache(maxsize=DOCUMENTS_KEPT),
        lambda: ValidationCache(maxsize=DOCUMENTS_KEPT),
        Introspection,
        OneOperation,
        Admission,
    ],
)
