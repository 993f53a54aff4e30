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

from domain.errors.base import DomainError
from domain.errors.codes import CATALOG
from domain.errors.exceptions import (
    GraphqlValidationFailed,
    MalformedRequest,
    MethodNotAllowed,
    QueryTooComplex,
    RateLimited,
)
from observability.logging_setup import current_request_id
from observability.metrics import GRAPHQL_OPERATION_SECONDS
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
from web.auth.authentication import AuthenticationConfig, RequestAuth
from web.errors import CHALLENGE, error_response, negotiated_error_type
from web.graphql.negotiation import GRAPHQL_TYPE, JSON_TYPE, response_type
from web.graphql.request import GraphQLRequest, parse
from web.graphql.trusted_documents import TrustedDocuments
from web.headers import get_header, header_index

# Over application/json, responses with errors have status 200, except for these codes: clients and
# proxies act on their status.
CODES_WITH_STATUS = frozenset({RateLimited.code, MethodNotAllowed.code})
TOO_LARGE = "The answer is too large. Ask for shorter pages or fewer fields at once."
# Parsing a document of this length takes about a millisecond.
LONG_DOCUMENT_CHARACTERS = 2_000
MAX_WAITING_PARSERS = 10_000
_CONTENT_TYPES = {
    media_type: (b"content-type", f"{media_type}; charset=utf-8".encode())
    for media_type in (JSON_TYPE, GRAPHQL_TYPE)
}
_VARY = (b"vary", b"Accept")

_OPERATION_TYPES = {
    "GET": {OperationType.QUERY},
    "HEAD": {OperationType.QUERY},
    "POST": {OperationType.QUERY, OperationType.MUTATION},
}


class GraphQLEndpoint:
    """The ASGI application of `/graphql`, for GET, HEAD and POST."""

    def __init__(
        self,
        services: Services,
        authentication: AuthenticationConfig,
        *,
        anonymous_introspection: bool,
        trusted: TrustedDocuments | None = None,
        execution: ExecutionOptions | None = None,
    ) -> None:
        self._services = services
        self._authentication = authentication
        self._anonymous_introspection = anonymous_introspection
        self._trusted = trusted or TrustedDocuments({})
        self._trusts_all = trusted is None
        self._execution = execution or ExecutionOptions()
        self._parsing = FairQueue(
            concurrency=1,
            per_client=1,
            max_waiting=MAX_WAITING_PARSERS,
            busy="Many long GraphQL documents are being read.",
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self.respond(Request(scope, receive))
        await response(scope, receive, send)

    async def respond(self, request: Request) -> Response:
        """Answer the request with data or errors, and count it by a rate limit in either case."""
        auth = RequestAuth(self._authentication, request)
        try:
            return await self._execute_request(request, auth)
        except DomainError as error:
            is_mutation = isinstance(error, MutationByGet)
            counted = await auth.count_refusal(error, "mutation" if is_mutation else "query")
            return auth.apply_to_response(
                error_response(
                    counted,
                    allow="POST" if is_mutation else "GET, HEAD, POST",
                    media_type=negotiated_error_type(request.scope),
                )
            )
        except ClientDisconnect:
            await auth.count_refusal(MalformedRequest(), "query")
            raise

    async def _execute_request(self, request: Request, auth: RequestAuth) -> Response:
        """Authenticate, parse and run the request. Raises DomainError, ClientDisconnect."""
        if request.method not in _OPERATION_TYPES:
            raise MethodNotAllowed
        media_type = response_type(header_index(request.scope).get(b"accept", ()))
        params = await parse(request, self._trusted)
        started_at = perf_counter()
        await auth.authenticate()
        _require_no_wait(auth, params)
        if auth.is_anonymous and not self._trusts_all:
            self._trusted.require(params.query)
        label = await self._label(params, auth.client)
        try:
            if is_tracing():
                with span(" ".join(label)):
                    return await self._execute(request, auth, params, media_type, label[0])
            return await self._execute(request, auth, params, media_type, label[0])
        finally:
            _durations(*label).observe(perf_counter() - started_at)

    async def _label(self, params: GraphQLRequest, client: str) -> tuple[str, str]:
        """Return type and name of the operation, for metrics and traces.

        Long documents are parsed one at a time, with clients taking turns, and other requests are
        served between two documents.
        """
        if (
            len(params.query) < LONG_DOCUMENT_CHARACTERS
            or document_cache.find(params.query) is not None
        ):
            return operation_label(params.query, params.operation_name)
        async with self._parsing.slot(client):
            label = operation_label(params.query, params.operation_name)
            await asyncio.sleep(0)
        return label

    async def _execute(
        self,
        request: Request,
        auth: RequestAuth,
        params: GraphQLRequest,
        media_type: str,
        kind: str,
    ) -> Response:
        request_id = current_request_id()
        context = Context(
            services=self._services,
            loaders=Loaders(self._services),
            caller=auth.caller,
            manage_token=auth.manage_token,
            request_id=request_id,
            idempotency_key=get_header(request.scope, b"idempotency-key"),
            operation_name=params.operation_name,
            may_introspect=self._anonymous_introspection or not auth.is_anonymous,
            wants_cost=get_header(request.scope, b"graphql-cost") == "1",
            check_rate_limit=auth.check_rate_limit,
            sign_in_gate=auth,
            execution=self._execution,
        )
        try:
            result = await execute(
                schema,
                OperationRequest(
                    text=params.query,
                    operation_name=params.operation_name,
                    variables=params.variables or {},
                    allowed=_OPERATION_TYPES[request.method],
                ),
                context,
            )
        except InvalidOperationTypeError as error:
            if error.operation_type == OperationType.SUBSCRIPTION:
                raise GraphqlValidationFailed("Subscriptions are not supported.") from error
            raise MutationByGet from error
        except CannotGetOperationTypeError as error:
            raise MalformedRequest(
                "The document has no operation with this operationName."
            ) from error
        # Operations are counted when they run. A request that ran none is counted here.
        is_mutation = kind == OperationType.MUTATION.value
        await auth.count_if_uncounted("mutation" if is_mutation else "query")
        # The result of a committed change is sent at any size. Its cost was checked before.
        max_bytes = None if is_mutation else LIMITS[Limit.ANSWER_BYTES]
        return auth.apply_to_response(
            _result_response(result, context, media_type, max_bytes=max_bytes)
        )


def _require_no_wait(auth: RequestAuth, params: GraphQLRequest) -> None:
    """Refuse a client that has to wait, before its document is parsed.

    Raises RateLimitExceeded.
    """
    if not auth.is_waiting:
        return
    kind = kind_before_parsing(params.query, params.operation_name)
    # Uploads are counted and refused one by one, by their resolvers.
    if kind != "upload":
        auth.require_no_wait(kind)


class MutationByGet(MethodNotAllowed):
    """A mutation sent with GET, which is counted as a mutation."""

    def __init__(self) -> None:
        super().__init__("A mutation has to be sent with POST.")


@lru_cache(maxsize=256)
def _durations(kind: str, name: str) -> Histogram:
    return GRAPHQL_OPERATION_SECONDS.labels(kind, name)


class DataResponse(Response):
    """A response without errors, with headers encoded in advance for speed."""

    def __init__(self, content: bytes, media_type: str) -> None:
        self.status_code = 200
        self.background = None
        self.body = content
        self.raw_headers = [
            (b"content-length", b"%d" % len(content)),
            _CONTENT_TYPES[media_type],
            _VARY,
        ]


def _result_response(
    result: Any, context: Context, media_type: str, *, max_bytes: int | None
) -> Response:
    """Return the response to an executed operation.

    Raises QueryTooComplex for a body of more than `max_bytes`; None is no limit.
    """
    errors, data = result.errors, result.data
    if not errors and not result.extensions:
        return DataResponse(_encode({"data": data}, max_bytes), media_type)
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
    # If no error has a path, the operation was refused before it ran and has no data.
    if not errors or any(error.path for error in errors):
        body["data"] = data
    if result.extensions:
        body["extensions"] = result.extensions
    return Response(_encode(body, max_bytes), status, headers, f"{media_type}; charset=utf-8")


def _encode(body: dict[str, Any], max_bytes: int | None) -> bytes:
    """Encode the body as JSON.

    Root fields are encoded one by one, so that encoding stops soon after `max_bytes`.
    Raises QueryTooComplex.
    """
    data = body.get("data")
    if type(data) is dict and len(data) > 1:
        size, fragments = 0, {}
        for key, value in data.items():
            fragment = orjson.dumps(value, default=str)
            size += len(fragment)
            _require_size(size, max_bytes)
            fragments[key] = orjson.Fragment(fragment)
        body = body | {"data": fragments}
    content = orjson.dumps(body, default=str)
    _require_size(len(content), max_bytes)
    return content


def _require_size(size: int, max_bytes: int | None) -> None:
    if max_bytes is not None and size > max_bytes:
        raise QueryTooComplex(TOO_LARGE, limit=Limit.ANSWER_BYTES, allowed=max_bytes, actual=size)


def _status(media_type: str, code: str, *, has_data: bool) -> int:
    if has_data:
        return 200
    if media_type == JSON_TYPE and code not in CODES_WITH_STATUS:
        return 200
    return CATALOG[code].http_status
