"""GraphQL over HTTP: body, media types, status codes."""

import asyncio
from functools import lru_cache
from http import HTTPStatus
from time import perf_counter
from typing import Any

import orjson
from prometheus_client import Histogram
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types.graphql import OperationType

from domain.errors.exceptions import (
    CATALOG,
    DomainError,
    ErrorCode,
    GraphqlValidationFailed,
    MalformedRequest,
    MethodNotAllowed,
    QueryTooComplex,
)
from observability.logging_setup import current_request_id
from observability.metrics import OPERATION_SECONDS
from observability.tracing import is_tracing, span
from resilience.fair_queue import FairQueue
from resolvers.services import Services
from schema import operation_label, schema
from schema.compiled.executor import OperationRequest, execute
from schema.context import Context, ExecutionOptions, Loaders
from schema.errors import format_error
from schema.limits.complexity import Limit
from schema.limits.query_limits import LIMITS, document_cache
from schema.limits.rate_limit import kind_before_parsing
from web.auth.authentication import Authentication, RequestAuth
from web.errors import CHALLENGE, error_response, negotiated_error_type
from web.graphql.negotiation import GRAPHQL_TYPE, JSON_TYPE, response_type
from web.graphql.request import GraphQLRequest, parse
from web.graphql.trusted_documents import TrustedDocuments
from web.headers import get_header, header_index

# Over application/json any well-formed request is answered with 200, except where the status
# itself is the message.
STATUS_ALWAYS = frozenset({ErrorCode.RATE_LIMITED, ErrorCode.METHOD_NOT_ALLOWED})
TOO_LARGE = "The answer is too large. Ask for shorter pages or fewer fields at once."
# Parsing so many takes about a millisecond.
LONG_CHARACTERS = 2_000
PARSINGS_WAITING = 10_000
_TYPES = {
    one: (b"content-type", f"{one}; charset=utf-8".encode()) for one in (JSON_TYPE, GRAPHQL_TYPE)
}
_VARY = (b"vary", b"Accept")

_ALLOWED = {
    "GET": {OperationType.QUERY},
    "HEAD": {OperationType.QUERY},
    "POST": {OperationType.QUERY, OperationType.MUTATION},
}


class GraphQLEndpoint:
    """The ASGI application behind `/graphql`: GET and POST."""

    def __init__(
        self,
        services: Services,
        sessions: Authentication,
        *,
        anonymous_introspection: bool,
        trusted: TrustedDocuments | None = None,
        execution: ExecutionOptions | None = None,
    ) -> None:
        self._services = services
        self._sessions = sessions
        self._anonymous_introspection = anonymous_introspection
        self._trusted = trusted or TrustedDocuments({})
        self._trusts_all = trusted is None
        self._execution = execution or ExecutionOptions()
        self._parsing = FairQueue(
            concurrency=1,
            per_client=1,
            max_waiting=PARSINGS_WAITING,
            busy="Many long GraphQL documents are being read.",
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self.respond(Request(scope, receive))
        await response(scope, receive, send)

    async def respond(self, request: Request) -> Response:
        """Every request is counted by a rate limit, whether it is answered or refused."""
        visit = RequestAuth(self._sessions, request)
        try:
            return await self._responded(request, visit)
        except DomainError as raised:
            is_mutation = isinstance(raised, MutationByGet)
            error = await visit.refused(raised, "mutation" if is_mutation else "query")
            return visit.apply_to_response(
                error_response(
                    error,
                    allow="POST" if is_mutation else "GET, POST",
                    media_type=negotiated_error_type(request.scope),
                )
            )
        except ClientDisconnect:
            await visit.refused(MalformedRequest(), "query")
            raise

    async def refused(self, request: HttpRequest, error: DomainError) -> DomainError:
        """Count a request that is refused before anything of it is read, as a query."""
        return await RequestAuth(self._sessions, request).refused(error, "query")

    async def _responded(self, request: Request, visit: RequestAuth) -> Response:
        """Raises DomainError, ClientDisconnect."""
        if request.method not in _ALLOWED:
            raise MethodNotAllowed
        media_type = response_type(header_index(request.scope).get(b"accept", ()))
        wanted = await parse(request, self._trusted)
        began = perf_counter()
        await visit.authenticate(only_reads="mutation" not in wanted.query)
        _require_no_wait(visit, wanted)
        if visit.is_anonymous and not self._trusts_all:
            self._trusted.require(wanted.query)
        label = await self._label(wanted, visit.client)
        try:
            if is_tracing():
                with span(" ".join(label)):
                    return await self._answer(request, visit, wanted, media_type, label[0])
            return await self._answer(request, visit, wanted, media_type, label[0])
        finally:
            _durations(*label).observe(perf_counter() - began)

    async def _label(self, wanted: GraphQLRequest, client: str) -> tuple[str, str]:
        """Type and name of the operation. Parses long documents one after the other, clients taking
        turns, and lets other requests go on in between.
        """
        if len(wanted.query) < LONG_CHARACTERS or document_cache.find(wanted.query) is not None:
            return operation_label(wanted.query, wanted.operation_name)
        async with self._parsing.slot(client):
            label = operation_label(wanted.query, wanted.operation_name)
            await asyncio.sleep(0)
        return label

    async def _answer(
        self,
        request: Request,
        visit: RequestAuth,
        wanted: GraphQLRequest,
        media_type: str,
        kind: str,
    ) -> Response:
        request_id = current_request_id()
        context = Context(
            services=self._services,
            loaders=Loaders(self._services),
            caller=visit.caller,
            manage_token=visit.manage_token,
            request_id=request_id,
            idempotency_key=get_header(request.scope, b"idempotency-key"),
            operation_name=wanted.operation_name,
            may_introspect=self._anonymous_introspection or not visit.is_anonymous,
            wants_cost=get_header(request.scope, b"graphql-cost") == "1",
            check_rate_limit=visit.check_rate_limit,
            sign_in_guard=visit,
            execution=self._execution,
        )
        try:
            result = await execute(
                schema,
                OperationRequest(
                    text=wanted.query,
                    operation_name=wanted.operation_name,
                    variables=wanted.variables or {},
                    allowed=_ALLOWED[request.method],
                ),
                context,
            )
        except InvalidOperationTypeError as error:
            if error.operation_type == OperationType.SUBSCRIPTION:
                raise GraphqlValidationFailed("There are no subscriptions.") from error
            raise MutationByGet from error
        except CannotGetOperationTypeError as error:
            raise MalformedRequest(
                "The document has no operation with this operationName."
            ) from error
        # Refused before it ran, or with nothing in it that is counted.
        is_mutation = kind == OperationType.MUTATION.value
        await visit.charge("mutation" if is_mutation else "query")
        # A change that is committed is told, however long the answer: its cost was bounded before.
        most = None if is_mutation else LIMITS[Limit.ANSWER_BYTES]
        return visit.apply_to_response(_response(result, context, media_type, most=most))


def _require_no_wait(visit: RequestAuth, wanted: GraphQLRequest) -> None:
    """Refuse a client that has to wait before its document is parsed. Raises Exceeded."""
    if not visit.is_waiting:
        return
    kind = kind_before_parsing(wanted.query, wanted.operation_name)
    # Of several uploads in a document each is refused by its resolver.
    if kind != "upload":
        visit.require_no_wait(kind)


class MutationByGet(MethodNotAllowed):
    """Counted as the mutation that it is."""

    def __init__(self) -> None:
        super().__init__("A mutation has to be sent with POST.")


@lru_cache(maxsize=256)
def _durations(kind: str, name: str) -> Histogram:
    return OPERATION_SECONDS.labels(kind, name)


class DataResponse(Response):
    """An answer without errors, its headers as they are sent."""

    def __init__(self, content: bytes, media_type: str) -> None:
        self.status_code = 200
        self.background = None
        self.body = content
        self.raw_headers = [(b"content-length", b"%d" % len(content)), _TYPES[media_type], _VARY]


def _response(result: Any, context: Context, media_type: str, *, most: int | None) -> Response:
    """Raises QueryTooComplex for an answer of more than `most` bytes; None is no bound."""
    errors, data = result.errors, result.data
    if not errors and not result.extensions:
        return DataResponse(_encoded({"data": data}, most), media_type)
    body: dict[str, Any] = {}
    headers = {"Vary": "Accept"}
    status = 200
    if errors:
        body["errors"] = [
            format_error(error, context.request_id, may_introspect=context.may_introspect)
            for error in errors
        ]
        extensions = body["errors"][0]["extensions"]
        if extensions["retryAfterSeconds"] is not None:
            headers["Retry-After"] = str(extensions["retryAfterSeconds"])
        status = _status(media_type, extensions["code"], has_data=data is not None)
        headers |= CHALLENGE if status == HTTPStatus.UNAUTHORIZED else {}
    # Without a path, the operation was refused before it ran: there is no data to speak of.
    if not errors or any(error.path for error in errors):
        body["data"] = data
    if result.extensions:
        body["extensions"] = result.extensions
    return Response(_encoded(body, most), status, headers, f"{media_type}; charset=utf-8")


def _encoded(body: dict[str, Any], most: int | None) -> bytes:
    """The body as JSON, whoever made it: PostgreSQL, a generated function or graphql-core.

    Root fields are encoded one by one, so that no more is encoded than may be sent. Raises
    QueryTooComplex.
    """
    data = body.get("data")
    if type(data) is dict and len(data) > 1:
        size, parts = 0, {}
        for key, value in data.items():
            part = orjson.dumps(value, default=str)
            size += len(part)
            _require_sendable(size, most)
            parts[key] = orjson.Fragment(part)
        body = body | {"data": parts}
    content = orjson.dumps(body, default=str)
    _require_sendable(len(content), most)
    return content


def _require_sendable(size: int, most: int | None) -> None:
    if most is not None and size > most:
        raise QueryTooComplex(TOO_LARGE, limit=Limit.ANSWER_BYTES, allowed=most, actual=size)


def _status(media_type: str, code: ErrorCode, *, has_data: bool) -> int:
    if has_data:
        return 200
    if media_type == JSON_TYPE and code not in STATUS_ALWAYS:
        return 200
    return CATALOG[code].http_status
