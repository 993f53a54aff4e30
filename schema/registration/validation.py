"""What is wrong with a form, and what errors there are."""

from typing import Self

import strawberry
from strawberry import field

from domain.errors.exceptions import DetailDefinition, ErrorDefinition, Issue
from resolvers.registration.register import Validation
from schema.enums import Category, ErrorCode, IssueCode
from schema.errors import doc_url
from schema.scalars import JSON, IssuePath


@strawberry.type(description="What is wrong with one place of the form.")
class ValidationIssue:
    path: list[IssuePath] = field(description="From the argument on: input, players, 3, name.")
    pointer: str = field(description="The path as a JSON Pointer (RFC 6901).")
    code: IssueCode = field(description="What is wrong, for programs.")
    message: str = field(description="What is wrong and what to do, in English.")
    params: JSON = field(description="The numbers in the message, by name.")

    @classmethod
    def from_issue(cls, issue: Issue) -> Self:
        return cls(
            path=[IssuePath(step) for step in issue.path],
            pointer=issue.pointer,
            code=issue.code,
            message=issue.message,
            params=JSON(dict(issue.params)),
        )


@strawberry.type(description="What registerTeam would say to a form, but for who else registered.")
class ValidationReport:
    is_valid: bool = field(description="Whether the form has no issues; there may be blockers.")
    issues: list[ValidationIssue] = field(description="In the order of the form, at most 200.")
    blockers: list[ErrorCode] = field(
        description="Why no form of this church would be taken now: not open, closed, church limit,"
        " full."
    )

    @classmethod
    def from_validation(cls, validation: Validation) -> Self:
        return cls(
            is_valid=not validation.issues,
            issues=[ValidationIssue.from_issue(issue) for issue in validation.issues],
            blockers=list(validation.blockers),
        )


@strawberry.type(description="A key of extensions.details of one error code.")
class ErrorDetail:
    name: str = field(description="The key.")
    type: str = field(
        description="The type of its value in JSON: string, date-time, integer, boolean, name of a"
        " limit; or an enumeration of this schema; or an array of these or of object. A date-time"
        " is written as DateTime is."
    )
    is_required: bool = field(description="Whether every error of the code has the key.")
    description: str = field(description="What its value means.")

    @classmethod
    def from_definition(cls, definition: DetailDefinition) -> Self:
        return cls(
            name=definition.name,
            type=definition.type.value,
            is_required=definition.is_required,
            description=definition.description,
        )


@strawberry.type(name="ErrorDefinition", description="One code of the error catalogue.")
class ErrorDefinitionType:
    code: ErrorCode = field(description="What extensions.code says.")
    category: Category = field(description="What kind of error it is.")
    http_status: int = field(description="The status of the plain HTTP routes.")
    retryable: bool = field(description="Whether the same request may succeed later.")
    description: str = field(description="What it means.")
    doc_url: str = field(description="Where cause and remedy are described.")
    details: list[ErrorDetail] = field(
        description="The keys that extensions.details may have; no others are there."
    )

    @classmethod
    def from_definition(cls, definition: ErrorDefinition) -> Self:
        return cls(
            code=definition.code,
            category=definition.category,
            http_status=definition.http_status,
            retryable=definition.retryable,
            description=definition.description,
            doc_url=doc_url(definition.code),
            details=[ErrorDetail.from_definition(one) for one in definition.details],
        )
