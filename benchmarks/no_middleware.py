"""The service without middleware, rate limits and log.

It reads the same settings as `cli.py serve`. Only the HTTP server, the GraphQL route,
authentication and the database are left.
"""

import gc
from functools import partial
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from server import create_app, uvicorn_config
from serving import GC_THRESHOLDS
from settings import Settings, load_settings
from web.graphql.request import HttpRequest
from web.middleware.exchange import BODY, WHOLE
from web.server.graceful_shutdown import ShutdownState

MAX_BODY_BYTES = 1 << 20


class GraphQLOnly:
    """ASGI app that passes HTTP requests directly to the GraphQL endpoint."""

    def __init__(self, app: Starlette) -> None:
        self._app = app
        (route,) = (
            route for route in app.routes if isinstance(route, Route) and route.path == "/graphql"
        )
        self._graphql: Any = route.endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        take, whole = scope["extensions"][BODY], scope["extensions"][WHOLE]
        request = HttpRequest(scope, receive, partial(take, MAX_BODY_BYTES))
        answer = await self._graphql.respond(request)
        await whole(answer.status_code, answer.raw_headers, b"", answer.body)


def benchmark_settings() -> Settings:
    return load_settings().model_copy(update={"enable_rate_limiting": False})


def main() -> None:
    settings = benchmark_settings()
    if settings.database_url is None:
        raise SystemExit("Set DATABASE_URL.")
    app = GraphQLOnly(create_app(settings, settings.database_url.get_secret_value()))
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    uvicorn.Server(uvicorn_config(settings, app, ShutdownState())).run()


if __name__ == "__main__":
    main()
