"""Outside services: letting calls through to them again."""

from typing import Annotated

import strawberry
from strawberry import argument, field

from resolvers.operations import health
from schema.context import Info
from schema.operations.health import HealthCheck


@strawberry.input(description="A service that is left alone after failures.")
class ResetBreakerInput:
    name: str = field(description="As health names it, e.g. cloudinary.")


@strawberry.type(description="The answer to resetBreaker.")
class ResetBreakerPayload:
    check: HealthCheck = field(description="How the service is taken to be now.")


async def reset_breaker(
    info: Info, input: Annotated[ResetBreakerInput, argument(description="The service.")]
) -> ResetBreakerPayload | None:
    context = info.context
    check = await health.reset_breaker(context.services, context.caller, input.name)
    return ResetBreakerPayload(check=HealthCheck.from_check(check))
