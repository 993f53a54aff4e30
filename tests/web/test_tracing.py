"""Traces: what a caller's header leaves in the log, and spans at a real OTLP receiver."""

import builtins
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from config.base import SettingsError
from observability.logging_setup import _context_ids
from observability.tracing import parse_trace_id, request_span, span, start_tracing, stop_tracing
from server import create_app
from tests.graphql_client import UNREACHABLE_DATABASE, app_client, data, execute
from web.middleware.request_id import RequestId

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
NAME = "{ tournament { name } }"


class Receiver:
    """Takes what an exporter sends."""

    def __init__(self) -> None:
        received: list[bytes] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                if self.path == "/v1/traces":
                    received.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._received = received
        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def spans(self) -> list:
        return [
            span
            for content in self._received
            for resource in ExportTraceServiceRequest.FromString(content).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def receiver():
    opened = Receiver()
    yield opened
    opened.close()


async def test_spans_of_a_request_hang_together_below_the_callers(
    settings_with, database, database_url, receiver
):
    settings = settings_with(otel_exporter_otlp_endpoint=receiver.address)
    async with app_client(settings, database_url) as client:
        data(await execute(client, NAME, traceparent=PARENT))
        await client.get("/a/path/of/mine")

    spans = {span.name: span for span in receiver.spans()}
    assert set(spans) == {"POST /graphql", "query tournament", "database.find", "GET other"}
    request, operation = spans["POST /graphql"], spans["query tournament"]
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE, PARENT[36:52])
    assert operation.parent_span_id == request.span_id
    assert spans["database.find"].parent_span_id == operation.span_id
    assert request.attributes[0].key == "http.response.status_code"
    assert request.attributes[0].value.int_value == 200
    assert spans["GET other"].trace_id.hex() != TRACE


@pytest.mark.parametrize("opened", ["span", "request_span"])
def test_span_tells_of_an_exception_its_class_alone(receiver, opened):
    start_tracing(receiver.address, version="1")
    around = span("work") if opened == "span" else request_span("work", PARENT)

    with pytest.raises(RuntimeError), around:
        raise RuntimeError("/files/a-link of Asha Thomas")
    stop_tracing()

    (sent,) = receiver.spans()
    assert (sent.status.code, sent.status.message) == (2, "RuntimeError")
    assert b"Asha" not in sent.SerializeToString()
    assert list(sent.events) == []


async def test_a_receiver_that_is_away_costs_no_request(settings_with, database, database_url):
    settings = settings_with(otel_exporter_otlp_endpoint="http://127.0.0.1:1")
    async with app_client(settings, database_url) as client:
        assert data(await execute(client, NAME))["tournament"]["name"]


@pytest.mark.parametrize(("header", "expected"), [(PARENT, TRACE), ("nonsense", None), ("", None)])
async def test_every_line_of_a_request_names_the_callers_trace(header, expected):
    seen = {}

    async def app(_scope, _receive, _send) -> None:
        seen.update(_context_ids.get())

    headers = [(b"traceparent", header.encode())] if header else []
    scope = {"type": "http", "method": "GET", "path": "/livez", "headers": headers}
    await RequestId(app)(scope, None, None)

    assert seen.get("trace_id") == expected
    assert seen["request_id"]


@pytest.mark.parametrize(
    ("header", "trace_id"),
    [
        (PARENT, TRACE),
        (PARENT.upper(), None),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"ff-{TRACE}-00f067aa0ba902b7-01", None),
        (f"{PARENT}-more", None),
        ("", None),
    ],
)
def test_a_header_is_read_as_the_standard_has_it(header, trace_id):
    assert parse_trace_id(header) == trace_id


def test_without_the_extra_the_service_does_not_start(settings_with, monkeypatch):
    real = builtins.__import__

    def without_extra(name, *rest):
        if name.startswith(("opentelemetry", "observability.otel")):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_extra)

    with pytest.raises(SettingsError) as refusal:
        create_app(
            settings_with(otel_exporter_otlp_endpoint="http://127.0.0.1:1"), UNREACHABLE_DATABASE
        )

    assert refusal.value.problems == [
        "OTEL_EXPORTER_OTLP_ENDPOINT: needs the extra otel, which is not installed"
    ]
