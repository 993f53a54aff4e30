"""Health of the service and of its parts."""

from typing import Annotated, Self

import strawberry
from strawberry import argument, field

from resolvers.operations import health as use_cases
from resolvers.operations.health import CheckResult, HealthReport
from schema.context import Info
from schema.enums import HealthStatus


@strawberry.type(description="The health of a part of the service.")
class HealthCheck:
    name: str = field(
        description="The part: database, cloudinary or rateLimitStore; uploads_disk or"
        " documents_disk if the disk is full or does not respond; a background task that fails."
    )
    status: HealthStatus = field(description="The part's status.")
    latency_ms: float | None = field(
        description="Response time in milliseconds; null if the part did not respond or was not"
        " asked."
    )

    @classmethod
    def from_check(cls, check: CheckResult) -> Self:
        return cls(name=check.name, status=check.status, latency_ms=check.latency_ms)


@strawberry.type(description="The health of the service, for monitoring.")
class Health:
    status: HealthStatus = field(
        description="DOWN if the database does not accept writes, DEGRADED if another part is not"
        " OK."
    )
    version: str = field(description="The version of the service.")
    checks: list[HealthCheck] = field(description="The health of each part.")

    @classmethod
    def from_health(cls, health: HealthReport, version: str) -> Self:
        return cls(
            status=health.status,
            version=version,
            checks=[HealthCheck.from_check(check) for check in health.checks],
        )


@strawberry.input(description="The external service whose circuit breaker is to be reset.")
class ResetBreakerInput:
    name: str = field(description="The name of the service, as in health, e.g. cloudinary.")


@strawberry.type(description="The payload of resetBreaker.")
class ResetBreakerPayload:
    check: HealthCheck = field(description="The health of the service after the reset.")


async def reset_breaker(
    info: Info, input: Annotated[ResetBreakerInput, argument(description="The external service.")]
) -> ResetBreakerPayload | None:
    context = info.context
    check = await use_cases.reset_breaker(context.services, context.caller, input.name)
    return ResetBreakerPayload(check=HealthCheck.from_check(check))
