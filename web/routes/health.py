"""Liveness and readiness."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from resolvers.operations import health as service_health
from resolvers.services import Services
from web.server.graceful_shutdown import ShutdownState


async def livez(_request: Request) -> Response:
    """Answer without using any other service."""
    return PlainTextResponse("ok\n")


class Readiness:
    """`/readyz` and `/health`: 503 if the database is unavailable or the server is stopping."""

    def __init__(self, services: Services, shutdown: ShutdownState) -> None:
        self._services = services
        self._shutdown = shutdown

    async def respond(self, _request: Request) -> Response:
        if self._shutdown.draining:
            return self._answer("STOPPING", [], 503)
        report = await service_health.health(self._services)
        checks = [
            {"name": check.name, "status": check.status, "latencyMs": check.latency_ms}
            for check in report.checks
        ]
        return self._answer(report.status, checks, 503 if report.status == "DOWN" else 200)

    def _answer(self, status: str, checks: list[dict[str, Any]], http_status: int) -> Response:
        body = {"status": status, "version": self._services.version, "checks": checks}
        return JSONResponse(body, http_status)
