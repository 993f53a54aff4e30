"""How the service is."""

from typing import Annotated, Self

import strawberry
from strawberry import argument, field

from resolvers.operations.health import CheckResult, HealthReport
from resolvers.operations import breakers
from schema.context import Info
from schema.enums import HealthStatus


@strawberry.type(description="How one part of the service is.")
class HealthCheck:
    name: str = field(
        description="The part: database, cloudinary, rateLimitStore; uploads_disk or documents_disk"
        " if full or silent; a background task that fails."
    )
    status: HealthStatus = field(description="How it is.")
    latency_ms: float | None = field(
        description="Milliseconds it took to answer; null: it did not, or was not asked."
    )

    @classmethod
    def from_check(cls, check: CheckResult) -> Self:
        return cls(name=check.name, status=HealthStatus(check.status), latency_ms=check.latency_ms)


@strawberry.type(description="How the service is, for monitoring.")
class Health:
    status: HealthStatus = field(
        description="DOWN without a database that takes writes, DEGRADED when another part is ill."
    )
    version: str = field(description="The version of the service.")
    checks: list[HealthCheck] = field(description="One per part.")

    @classmethod
    def from_health(cls, health: HealthReport, version: str) -> Self:
        return cls(
            status=HealthStatus(health.status),
            version=version,
            checks=[HealthCheck.from_check(check) for check in health.checks],
        )


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
    check = await breakers.reset_breaker(context.services, context.caller, input.name)
    return ResetBreakerPayload(check=HealthCheck.from_check(check))
