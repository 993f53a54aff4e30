"""A bare upload route: it streams the body to a file, hashes it, and lets Pillow verify it."""

import argparse
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import uvicorn
from anyio import to_thread
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

folder = Path()


def verify(path: Path) -> None:
    """Raises OSError for a broken picture."""
    with Image.open(path) as picture:
        picture.load()


async def upload(request: Request) -> JSONResponse:
    path, digest = folder / uuid4().hex, sha256()
    with path.open("wb") as file:
        async for piece in request.stream():
            digest.update(piece)
            file.write(piece)
    await to_thread.run_sync(verify, path)
    return JSONResponse({"sha256": digest.hexdigest()}, status_code=201)


def main() -> None:
    global folder  # noqa: PLW0603 - the only setting of the server
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    args = parser.parse_args()
    folder = args.folder
    app = Starlette(routes=[Route("/upload", upload, methods=["PUT"])])
    uvicorn.run(app, port=args.port, access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
