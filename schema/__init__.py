"""The GraphQL schema."""

from collections.abc import Iterator

from graphql import OperationDefinitionNode
from strawberry.extensions import SchemaExtension
from strawberry.schema.config import StrawberryConfig

from domain.errors.exceptions import MalformedRequest
from schema.compiled.executor import CompiledExecution, CompiledSchema
from schema.context import Context
from schema.limits import query_limits
from schema.limits.query_limits import (
    CachedValidation,
    ParserCache,
    QueryLimits,
    ValidationBudget,
)
from schema.limits.rate_limit import RateLimitExtension
from schema.limits.text_rules import apply_text_rules
from schema.mutation import Mutation
from schema.name_converter import NAMES
from schema.query import Query
from schema.scalars import SCALARS
from schema.teams.types import Team


class RequireOperationName(SchemaExtension):
    """Requires `operationName` for documents with several operations."""

    def on_validate(self) -> Iterator[None]:
        context: Context = self.execution_context.context
        document = self.execution_context.graphql_document
        definitions = document.definitions if document is not None else ()
        operations = sum(
            isinstance(definition, OperationDefinitionNode) for definition in definitions
        )
        if operations > 1 and context.operation_name is None:
            raise MalformedRequest(
                "The document has several operations. Name one of them in operationName."
            )
        yield


apply_text_rules(Query, Mutation)
schema = CompiledSchema(
    query=Query,
    mutation=Mutation,
    types=[Team],
    config=StrawberryConfig(scalar_map=SCALARS, name_converter=NAMES),
    # In this order limits are checked before the expensive validation, and only valid operations
    # count against rate limits and are compiled.
    extensions=[
        ParserCache,
        RequireOperationName,
        QueryLimits,
        CachedValidation,
        ValidationBudget,
        RateLimitExtension,
        CompiledExecution,
    ],
)


def operation_label(text: str, operation_name: str | None) -> tuple[str, str]:
    """Return an operation's type and name for metrics: a bounded set of labels."""
    return query_limits.operation_label(schema._schema, text, operation_name)  # noqa: SLF001 - as Strawberry's own do
