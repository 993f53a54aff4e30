"""Our GraphQL with nothing around it: no middleware, no rates, no log.

Reads the settings of `cli.py serve`; what is left is the server, the route, sessions and the
database.
"""

import gc

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from server import create_app, uvicorn_config
from serving import COLLECTED_AFTER
from settings import Settings, load_settings
from web.draining import Drain


class Bare:
    """What answers operations, and the life of what it stands on."""

    def __init__(self, app: Starlette) -> None:
        self._app = app
        (self._graphql,) = (
            one.endpoint for one in app.routes if isinstance(one, Route) and one.path == "/graphql"
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._graphql if scope["type"] == "http" else self._app)(scope, receive, send)


def settled() -> Settings:
    return load_settings().model_copy(update={"enable_rate_limiting": False})


def main() -> None:
    settings = settled()
    if settings.database_url is None:
        raise SystemExit("DATABASE_URL is needed.")
    app = Bare(create_app(settings, settings.database_url.get_secret_value()))
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTED_AFTER)
    uvicorn.Server(uvicorn_config(settings, app, Drain())).run()


if __name__ == "__main__":
    main()
