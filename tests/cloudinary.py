"""A stand-in for Cloudinary: its upload and admin interfaces, with checks of signatures."""

import base64
import json
import re
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qsl, urlsplit

CLOUD, KEY, SECRET = "icct26", "614335564976464", "a secret of the stand-in"
UNSIGNED = {"file", "api_key", "cloud_name", "resource_type", "signature"}
PAGE = b"<html><body>502 Bad Gateway</body></html>"

Asset = tuple[str, str, str]  # resource type, type, public id


class CloudinaryStandIn:
    """Counts every call that arrives. `mood` is how the next ones are answered."""

    def __init__(self) -> None:
        self.assets: dict[Asset, bytes] = {}
        # Seconds by which assets seem to be older than they are.
        self.ages: dict[str, float] = {}
        self.page_size = 500
        self.calls: Counter[str] = Counter()
        self.mood = "healthy"
        self.most_at_once = 0
        self.gate = threading.Event()
        self.gate.set()
        # Actions that wait at the gate; None: all.
        self.held: set[str] | None = None
        self._at_once = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.stand_in = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return self.url_with()

    def url_with(self, secret: str = SECRET) -> str:
        quoted = secret.replace(" ", "%20")
        return f"cloudinary://{KEY}:{quoted}@{CLOUD}?upload_prefix={self.address}"

    @property
    def names(self) -> list[str]:
        return sorted(public_id for _, _, public_id in self.assets)

    @property
    def total_calls(self) -> int:
        return sum(self.calls.values())

    def enter(self, action: str) -> None:
        with self._lock:
            self.calls[action] += 1
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)

    def leave(self) -> None:
        with self._lock:
            self._at_once -= 1


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    stand_in: CloudinaryStandIn

    def handle_error(self, *_: object) -> None:
        """A client that has gone is nothing to tell."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._serve(_fields(self.headers["Content-Type"], body))

    def do_GET(self) -> None:
        self._serve({name: value.encode() for name, value in parse_qsl(urlsplit(self.path).query)})

    def _serve(self, fields: dict[str, bytes]) -> None:
        stand_in = self.server.stand_in
        path = urlsplit(self.path).path.split("/")
        action = path[-1]
        stand_in.enter(action)
        try:
            if stand_in.held is None or action in stand_in.held:
                stand_in.gate.wait(30)
            if stand_in.mood == "cutting":
                self.connection.close()
                self.close_connection = True
            elif stand_in.mood == "page":
                self._answer(502, PAGE, "text/html")
            elif stand_in.mood.isdecimal():
                self._error(int(stand_in.mood), "not now")
            else:
                self._act(action, path[-2], fields)
        finally:
            stand_in.leave()

    def _act(self, action: str, resource_type: str, fields: dict[str, bytes]) -> None:
        if action == "ping" or "/resources/" in self.path:
            given = self.headers["Authorization"].removeprefix("Basic ")
            if base64.b64decode(given).decode() != f"{KEY}:{SECRET}":
                return self._error(401, "unknown api_key")
            if action == "ping":
                return self._json(200, {"status": "ok"})
            return self._resources(resource_type, action, fields)
        if not _is_signed(fields):
            return self._error(401, "Invalid Signature")
        texts = {name: value.decode() for name, value in fields.items() if name != "file"}
        act = getattr(self, f"_{action}")
        return act(resource_type, texts.get("type", "upload"), texts, fields.get("file", b""))

    def _upload(self, resource_type: str, kind: str, texts: dict, file: bytes) -> None:
        self.server.stand_in.assets[resource_type, kind, texts["public_id"]] = file
        self._json(200, {"public_id": texts["public_id"], "bytes": len(file), "type": kind})

    def _rename(self, resource_type: str, kind: str, texts: dict, _file: bytes) -> None:
        assets = self.server.stand_in.assets
        content = assets.pop((resource_type, kind, texts["from_public_id"]), None)
        if content is None:
            return self._error(404, "Resource not found")
        assets[resource_type, kind, texts["to_public_id"]] = content
        return self._json(200, {"public_id": texts["to_public_id"]})

    def _explicit(self, resource_type: str, kind: str, texts: dict, _file: bytes) -> None:
        if (resource_type, kind, texts["public_id"]) not in self.server.stand_in.assets:
            return self._error(404, "Resource not found")
        return self._json(200, {"public_id": texts["public_id"]})

    def _destroy(self, resource_type: str, kind: str, texts: dict, _file: bytes) -> None:
        asset = (resource_type, kind, texts["public_id"])
        gone = self.server.stand_in.assets.pop(asset, None)
        self._json(200, {"result": "not found" if gone is None else "ok"})

    def _download(self, resource_type: str, kind: str, texts: dict, _file: bytes) -> None:
        if int(texts.get("expires_at", "0")) < time.time():
            return self._error(401, "expired")
        content = self.server.stand_in.assets.get((resource_type, kind, texts["public_id"]))
        if content is None:
            return self._error(404, "Resource not found")
        return self._answer(200, content, "application/octet-stream")

    def _resources(self, resource_type: str, kind: str, fields: dict[str, bytes]) -> None:
        """A page of those whose public id begins with the prefix; the cursor is the last of it."""
        stand_in = self.server.stand_in
        prefix, after = fields["prefix"].decode(), fields.get("next_cursor", b"").decode()
        names = sorted(
            name
            for of_type, of_kind, name in list(stand_in.assets)
            if (of_type, of_kind) == (resource_type, kind) and name.startswith(prefix)
        )
        names = [name for name in names if name > after]
        size = min(stand_in.page_size, int(fields["max_results"]))
        page = [
            {
                "public_id": name,
                "created_at": datetime.fromtimestamp(
                    time.time() - stand_in.ages.get(name, 0), UTC
                ).strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
            for name in names[:size]
        ]
        more = {"next_cursor": names[size - 1]} if len(names) > size else {}
        self._json(200, {"resources": page, **more})

    def _error(self, status: int, message: str) -> None:
        self._json(status, {"error": {"message": message}})

    def _json(self, status: int, body: dict) -> None:
        self._answer(status, json.dumps(body).encode(), "application/json")

    def _answer(self, status: int, body: bytes, media_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def signature(fields: dict[str, bytes], secret: str = SECRET) -> str:
    """As documented: what is sent, sorted by name, and the secret."""
    signed = sorted(
        f"{name}={value.decode().replace('&', '%26')}"
        for name, value in fields.items()
        if name not in UNSIGNED and value
    )
    return sha1(("&".join(signed) + secret).encode()).hexdigest()


def _is_signed(fields: dict[str, bytes]) -> bool:
    is_recent = abs(time.time() - int(fields.get("timestamp", b"0"))) < 3_600
    known = fields.get("api_key") == KEY.encode()
    return known and is_recent and fields.get("signature", b"").decode() == signature(fields)


def _fields(content_type: str, body: bytes) -> dict[str, bytes]:
    if not content_type.startswith("multipart/form-data"):
        return {name: value.encode() for name, value in parse_qsl(body.decode())}
    boundary = b"--" + content_type.partition("boundary=")[2].encode()
    fields = {}
    for part in body.split(boundary)[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        found = re.search(rb'name="([^"]+)"', head)
        assert found is not None
        fields[found[1].decode()] = content.removesuffix(b"\r\n")
    return fields
