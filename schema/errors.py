"""Translate errors into entries of `errors`, with their `extensions`.

All errors, raised by domain rules, the parser or a middleware, have the same shape, and none
repeats a received value.
"""

import re
from collections.abc import Iterator
from typing import Any, cast

import orjson
import structlog
from graphql import GraphQLError

from domain.errors.base import DomainError
from domain.errors.exceptions import (
    BadUserInput,
    GraphqlParseFailed,
    GraphqlValidationFailed,
    Internal,
    MalformedRequest,
)
from domain.errors.issue_codes import IssueCode
from domain.errors.issues import Issue, Path, issue_message, make_issue
from observability.metrics import ERRORS
from schema.limits.literal_paths import literal_path
from schema.scalars import InvalidScalar

log = structlog.get_logger(__name__)

_VARIABLE_ERROR = re.compile(
    r"^Variable '\$(\w{1,60})' has invalid value(?: at ([\w.\[\]]{1,200}))?: (.*)$", re.DOTALL
)
_ARGUMENT = re.compile(r"^Argument '(\w{1,60})' has invalid value\b")
_ARGUMENT_ABSENT = re.compile(
    r"^Argument '[\w.]{1,120}\((\w{1,60}):\)' of type .{1,200} is required"
)
_FIELD_ABSENT = re.compile(r" to include required field '(\w{1,60})'")
_ABSENT = re.compile(r" (?:not to be None|to be provided)\.")
# Messages about literals that do not fit their type.
_LITERAL_MISMATCH = re.compile(
    r"^(?:Expected value of |Value |Enum |Within OneOf |\w{1,60} cannot represent )", re.DOTALL
)
# Patterns that remove received values from graphql-core's messages.
_RECEIVED_VALUES = (
    (re.compile(r"(cannot represent (?:[\w -]{1,60}? )?value)\b.*$", re.DOTALL), r"\1."),
    (re.compile(r"[,.]? (?:but encountered|[Ff]ound:?) .*$", re.DOTALL), "."),
    (
        re.compile(r"^Value .* does not exist in (\S{1,80}) enum.*$", re.DOTALL),
        r"No such value in \1.",
    ),
    # Names of fields are kept if they are GraphQL names; keys of variables can be any text.
    (re.compile(r"unknown field '(?![A-Za-z_]\w{0,59}').*$", re.DOTALL), "an unknown field."),
)
_SUGGESTION = re.compile(r"[,.]? Did you mean .*$", re.DOTALL)
_PATH_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
_UNKNOWN_KEY = re.compile(r"unknown field '.*$", re.DOTALL)


def error_body(error: DomainError, request_id: str) -> bytes:
    """Return the JSON body of a response with one error and no data."""
    return orjson.dumps({"errors": [error_entry(error, request_id)]}, default=str)


def error_entry(error: DomainError, request_id: str) -> dict[str, Any]:
    """Return an entry of `errors`, without path and locations."""
    ERRORS.labels(error.code).inc()
    extensions = {
        "code": error.code,
        "category": error.category,
        "requestId": request_id,
        "retryable": error.retryable,
        "retryAfterSeconds": error.retry_after_seconds,
        "docUrl": doc_url(error.code),
        "issues": [issue_body(issue) for issue in error.issues],
        "details": dict(error.details),
    }
    return {"message": error.message, "extensions": extensions}


def doc_url(code: str) -> str:
    return f"/errors#{code}"


def issue_body(issue: Issue) -> dict[str, Any]:
    return {
        "path": list(issue.path),
        "pointer": issue.pointer,
        "code": issue.code,
        "message": issue.message,
        "params": dict(issue.params),
    }


def format_error(error: GraphQLError, request_id: str, *, may_introspect: bool) -> dict[str, Any]:
    """Return the entry of `errors` for an error of the execution; log unexpected exceptions.

    Only callers who may introspect see suggestions, which name parts of the schema.
    """
    entry = error_entry(_domain_error(error), request_id)
    if not may_introspect:
        entry["message"] = _SUGGESTION.sub(".", entry["message"])
    if error.locations:
        entry["locations"] = [
            {"line": location.line, "column": location.column} for location in error.locations
        ]
    if error.path:
        entry["path"] = list(error.path)
    return entry


def _domain_error(error: GraphQLError) -> DomainError:
    if isinstance(error.original_error or error, InvalidScalar):
        return _scalar_error(error)
    cause = error.original_error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    if isinstance(cause, DomainError):
        return cause
    # graphql-core's own errors have locations in the document, but no path in the response.
    if cause is None or (error.nodes and not error.path):
        return _document_error(error)
    log.error("unexpected_exception", exc_info=cause)
    return Internal()


def _scalar_error(error: GraphQLError) -> DomainError:
    """Return an error with an issue at the path of the literal or the variable."""
    cause = error.original_error or error
    code = cast("InvalidScalar", cause).code
    match = _VARIABLE_ERROR.match(error.message)
    if match is None:
        path = literal_path(error.nodes[0]) if error.nodes else ()
        position = ".".join(map(str, path))
    else:
        path = (match[1], *_path_steps(match[2] or ""))
        position = f"${match[1]}{match[2] or ''}"
    if not path:
        return MalformedRequest(issue_message(code))
    return BadUserInput(make_issue(path, code), message=f"{position}: {issue_message(code)}")


def _path_steps(path: str) -> Iterator[str | int]:
    """Yield the steps of a path in graphql-core's notation, e.g. `.players[3].name`."""
    for name, index in _PATH_STEP.findall(path):
        yield name or int(index)


def _document_error(error: GraphQLError) -> DomainError:
    message = error.message
    if message.startswith("Syntax Error"):
        return GraphqlParseFailed(_parse_message(error))
    match = _VARIABLE_ERROR.match(message)
    if match is not None:
        variable, path, reason = match.groups()
        issue = _value_issue((variable, *_path_steps(path or "")), reason)
        redacted = _without_values(_UNKNOWN_KEY.sub("an unknown field.", reason))
        return BadUserInput(issue, message=f"${variable}{path or ''}: {redacted}")
    argument = _ARGUMENT.match(message)
    if argument is not None and error.path:
        issue = _value_issue((argument[1],), message)
        return BadUserInput(issue, message=_without_values(message))
    if error.path:
        return MalformedRequest(_without_values(message))
    return GraphqlValidationFailed(_without_values(message), *_literal_issues(error))


def _literal_issues(error: GraphQLError) -> Iterator[Issue]:
    """An issue at a value of the document that is missing or does not fit its type."""
    absent = _ARGUMENT_ABSENT.match(error.message)
    if absent is not None:
        yield make_issue((absent[1],), IssueCode.VALUE_REQUIRED)
    elif error.nodes and _LITERAL_MISMATCH.search(error.message):
        path = literal_path(error.nodes[0])
        if path:
            yield _value_issue(path, error.message)


def _value_issue(path: Path, reason: str) -> Issue:
    """The issue of a value at this path, by graphql-core's message."""
    field = _FIELD_ABSENT.search(reason)
    if field is not None:
        return make_issue((*path, field[1]), IssueCode.VALUE_REQUIRED)
    is_absent = _ABSENT.search(reason) is not None
    return make_issue(path, IssueCode.VALUE_REQUIRED if is_absent else IssueCode.VALUE_INVALID)


def _parse_message(error: GraphQLError) -> str:
    if not error.locations:
        return "The document is not valid GraphQL."
    location = error.locations[0]
    return f"The document is not valid GraphQL at line {location.line}, column {location.column}."


def _without_values(message: str) -> str:
    for pattern, replacement in _RECEIVED_VALUES:
        message = pattern.sub(replacement, message)
    return message
