"""The GraphQL schema."""

from collections.abc import AsyncIterator

from graphql import GraphQLError
from strawberry import Schema
from strawberry.extensions import (
    MaxTokensLimiter,
    ParserCache,
    SchemaExtension,
    ValidationCache,
)
from strawberry.schema.config import StrawberryConfig
from strawberry.types.execution import ExecutionContext as StrawberryExecution

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


class Admission(SchemaExtension):
    """Asks the rate limits before an operation runs, once it is known what it is."""

    async def on_execute(self) -> AsyncIterator[None]:
        context: Context = self.execution_context.context
        await context.admit(self.execution_context.operation_type.value)
        yield


schema = QuietSchema(
    query=Query,
    mutation=Mutation,
    types=[Team],
    config=StrawberryConfig(scalar_map=SCALARS),
    extensions=[
        lambda: MaxTokensLimiter(max_token_count=TOKENS_MAX),
        lambda: ParserCache(maxsize=DOCUMENTS_KEPT),
        lambda: ValidationCache(maxsize=DOCUMENTS_KEPT),
        Admission,
    ],
)
