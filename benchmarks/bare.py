"""Our GraphQL with nothing around it: no middleware, no rates, no log.

Reads the settings of `cli.py serve`; what is left is the server, the route, sessions and the
database.
"""

import gc

import uvicorn

from server import create_app, uvicorn_config
from serving import COLLECTED_AFTER
from settings import Settings, load_settings
from web.draining import Drain


def settled() -> Settings:
    return load_settings().model_copy(update={"enable_rate_limiting": False})


def main() -> None:
    settings = settled()
    if settings.database_url is None:
        raise SystemExit("DATABASE_URL is needed.")
    app = create_app(settings, settings.database_url.get_secret_value())
    # The last one is the way to the route.
    del app.user_middleware[:-1]
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTED_AFTER)
    uvicorn.Server(uvicorn_config(settings, app, Drain())).run()


if __name__ == "__main__":
    main()
