"""The application without middleware, rate limits and log.

Reads the settings of `cli.py serve`; what is left is the server, Starlette's router, sessions and
the database. With `--no-sign-in` every bearer token is taken for a reviewer's, without a look-up.
"""

import gc
import sys
from uuid import UUID

import uvicorn

from domain.auth.roles import Caller, CallerKind, Role
from resolvers.accounts import sessions
from runner import GC_THRESHOLDS, uvicorn_config
from server import create_app
from settings import Settings, load_settings
from web.server.graceful_shutdown import ShutdownState


def bare_settings() -> Settings:
    return load_settings().model_copy(update={"enable_rate_limiting": False})


async def authenticate_nobody(*_: object) -> Caller:
    return Caller(kind=CallerKind.ORGANISER, organiser_id=UUID(int=1), role=Role.REVIEWER)


def main() -> None:
    settings = bare_settings()
    if "--no-sign-in" in sys.argv:
        sessions.authenticate = authenticate_nobody  # type: ignore[assignment]
    if settings.database_url is None:
        raise SystemExit("DATABASE_URL is needed.")
    app = create_app(settings, settings.database_url.get_secret_value())
    app.user_middleware = []
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    uvicorn.Server(uvicorn_config(settings, app, ShutdownState())).run()


if __name__ == "__main__":
    main()
