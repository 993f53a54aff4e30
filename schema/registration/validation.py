"""Reports of form validation, and the error catalogue."""

from typing import Self

import strawberry
from strawberry import field

from domain.errors.base import Detail, DomainError
from domain.errors.issues import Issue
from resolvers.registration.register import DryRunResult
from schema.enums import Category, ErrorCode, IssueCode
from schema.errors import doc_url
from schema.scalars import JSON, PathStep


@strawberry.type(description="A problem in the form.")
class ValidationIssue:
    path: list[PathStep] = field(
        description="The path of the value from the argument on: input, players, 3, name."
    )
    pointer: str = field(description="The path as a JSON Pointer (RFC 6901).")
    code: IssueCode = field(description="The code of the problem, for programs.")
    message: str = field(description="The problem and its solution, in English.")
    params: JSON = field(description="The values in the message, by name.")

    @classmethod
    def from_issue(cls, issue: Issue) -> Self:
        return cls(
            path=[PathStep(step) for step in issue.path],
            pointer=issue.pointer,
            code=issue.code,
            message=issue.message,
            params=JSON(dict(issue.params)),
        )


@strawberry.type(description="The result of validating a form without registering the team.")
class ValidationReport:
    is_valid: bool = field(description="Whether the form has no issues. It may have blockers.")
    issues: list[ValidationIssue] = field(description="At most 200 problems, in form order.")
    blockers: list[ErrorCode] = field(
        description="Errors that any registration of this church would get now: not open, closed,"
        " church limit reached, or full."
    )

    @classmethod
    def from_result(cls, result: DryRunResult) -> Self:
        return cls(
            is_valid=not result.issues,
            issues=[ValidationIssue.from_issue(issue) for issue in result.issues],
            blockers=[ErrorCode(code) for code in result.blockers],
        )


@strawberry.type(description="A key of extensions.details of an error code.")
class ErrorDetail:
    name: str = field(description="The key.")
    type: str = field(
        description="The JSON type of its value: string, date-time, integer, boolean, name of a"
        " limit; an enumeration of this schema; or an array of these or of objects. A date-time"
        " is formatted like DateTime."
    )
    is_required: bool = field(description="Whether every error of this code has the key.")
    description: str = field(description="The meaning of its value.")

    @classmethod
    def from_detail(cls, detail: Detail) -> Self:
        return cls(
            name=detail.name,
            type=detail.type.value,
            is_required=detail.is_required,
            description=detail.description,
        )


@strawberry.type(name="ErrorDefinition", description="An error code of the catalogue.")
class ErrorDefinitionType:
    code: ErrorCode = field(description="The value of extensions.code.")
    category: Category = field(description="The kind of error.")
    http_status: int = field(description="The HTTP status on routes other than GraphQL.")
    retryable: bool = field(description="Whether the same request may succeed later.")
    description: str = field(description="The meaning of the code.")
    doc_url: str = field(description="The address of the documentation of causes and remedies.")
    details: list[ErrorDetail] = field(description="All keys that extensions.details may have.")

    @classmethod
    def from_class(cls, error: type[DomainError]) -> Self:
        return cls(
            code=ErrorCode(error.code),
            category=error.category,
            http_status=error.http_status,
            retryable=error.retryable,
            description=error.description,
            doc_url=doc_url(error.code),
            details=[ErrorDetail.from_detail(detail) for detail in error.documented_details],
        )
