"""Enumerations of the schema, with a description of each value.

Most of them are the domain's, some the repositories', the rest the schema's own. Types of the
schema import them from this module, so that each is described before it is used.
"""

from collections.abc import Mapping
from enum import Enum, StrEnum
from typing import Any, Literal, TypeVar

import strawberry

from domain.audit import AuditAction
from domain.auth.roles import Role
from domain.deliveries import DeliveryKind
from domain.documents import DocumentFormat, DocumentKind, DocumentReview
from domain.errors.base import Category
from domain.errors.codes import CATALOG, ErrorCode
from domain.errors.issue_codes import IssueCode
from domain.operations import Operation
from domain.registration.forms import PlayerRole
from domain.spreadsheets import ExportFormat
from domain.teams.readiness import BlockerActor, BlockerCode
from domain.teams.status import TeamStatus
from domain.tournaments import RegistrationState
from persistence.repositories.outbox import DeliveryStatus
from persistence.repositories.team_search import TeamOrderField
from resolvers.operations.health import HealthStatus

__all__ = [
    "ActorKind",
    "AuditAction",
    "BlockerActor",
    "BlockerCode",
    "Category",
    "DeliveryKind",
    "DeliveryStatus",
    "DocumentFormat",
    "DocumentKind",
    "DocumentReview",
    "ErrorCode",
    "ExportFormat",
    "HealthStatus",
    "IssueCode",
    "Operation",
    "OrderDirection",
    "PlayerRole",
    "RegistrationState",
    "Role",
    "TeamOrderField",
    "TeamStatus",
]

E = TypeVar("E", bound=type[Enum])


class OrderDirection(StrEnum):
    ASC = "ASC"
    DESC = "DESC"


class ActorKind(StrEnum):
    """Kinds of callers, named as before the colon in `AuditRecord.actor`."""

    ORGANISER = "organiser"
    CAPTAIN = "captain"
    SYSTEM = "system"
    ANONYMOUS = "anonymous"


def describe_enum(
    enum: E,
    description: str,
    values: Mapping[Any, str],
    name: str | None = None,
    named_by: Literal["key", "value"] = "key",
) -> E:
    strawberry.enum(enum, name=name, description=description, graphql_name_from=named_by)
    definition = enum.__strawberry_definition__  # type: ignore[attr-defined]  # set one line above
    for value in definition.values:
        value.description = values[enum(value.value)]
    return enum


describe_enum(
    TeamStatus,
    "The status of a team's application.",
    {
        TeamStatus.PENDING: "Received; the organisers have not decided yet.",
        TeamStatus.CHANGES_REQUESTED: "The organisers asked the captain for corrections.",
        TeamStatus.CONFIRMED: "The team takes part.",
        TeamStatus.REJECTED: "The organisers rejected the team; its place is free again.",
        TeamStatus.WITHDRAWN: "The team withdrew; its place is free again.",
    },
)
describe_enum(
    PlayerRole,
    "A player's role.",
    {
        PlayerRole.BATSMAN: "Bats.",
        PlayerRole.BOWLER: "Bowls.",
        PlayerRole.ALL_ROUNDER: "Bats and bowls.",
        PlayerRole.WICKET_KEEPER: "Keeps the wicket.",
    },
)
describe_enum(
    RegistrationState,
    "Whether teams can register now.",
    {
        RegistrationState.NOT_OPEN: "Before opensAt.",
        RegistrationState.OPEN: "Teams can register, and places are left.",
        RegistrationState.FULL: "The registration window is open, but all places are taken.",
        RegistrationState.CLOSED: "Since closesAt.",
    },
)
describe_enum(
    DocumentKind,
    "The kind of a document.",
    {
        DocumentKind.PASTOR_LETTER: "The pastor's letter for the team.",
        DocumentKind.PAYMENT_RECEIPT: "The receipt of the registration fee.",
        DocumentKind.GROUP_PHOTO: "A photo of the team; an image, no PDF.",
        DocumentKind.IDENTITY_PROOF: "A player's identity proof, masked.",
        DocumentKind.SUBSCRIPTION_CARD: "A player's church subscription card.",
        DocumentKind.PHOTO: "A player's photo; an image, no PDF.",
    },
)
describe_enum(
    DocumentFormat,
    "The format of a file, detected from its content.",
    {
        DocumentFormat.PNG: "image/png",
        DocumentFormat.JPEG: "image/jpeg",
        DocumentFormat.PDF: "application/pdf",
    },
)
describe_enum(
    BlockerCode,
    "A reason why a team cannot be confirmed yet.",
    {
        BlockerCode.DOCUMENT_MISSING: "A required document is missing.",
        BlockerCode.DOCUMENT_REJECTED: "A required document was rejected.",
        BlockerCode.DOCUMENT_NOT_REVIEWED: "A required document was not reviewed yet.",
        BlockerCode.CHANGES_REQUESTED: "The captain was asked for changes and has not resubmitted.",
        BlockerCode.ALREADY_DECIDED: "The team is confirmed, rejected or withdrawn.",
    },
)
describe_enum(
    BlockerActor,
    "The person who has to act.",
    {
        BlockerActor.CAPTAIN: "The captain of the team.",
        BlockerActor.ORGANISER: "An organiser.",
    },
)
describe_enum(
    Operation,
    "Mutations that change one team, each written as the mutation that is then called. Mutations"
    " are only ever added.",
    {
        Operation.CONFIRM_TEAM: "An organiser confirms the team.",
        Operation.REQUEST_CHANGES: "An organiser asks the captain for changes.",
        Operation.REJECT_TEAM: "An organiser rejects the team.",
        Operation.REOPEN_TEAM: "An organiser takes a decision back.",
        Operation.WITHDRAW_TEAM: "An organiser withdraws the team.",
        Operation.REVIEW_DOCUMENT: "An organiser accepts or rejects a document.",
        Operation.UPDATE_TEAM: "An organiser changes what the team registered with.",
        Operation.UPDATE_PLAYER: "An organiser changes a player.",
        Operation.ADD_PLAYER: "An organiser adds a player.",
        Operation.REMOVE_PLAYER: "An organiser removes a player.",
        Operation.REISSUE_MANAGE_TOKEN: "An organiser replaces the team's manageToken.",
        Operation.UPDATE_MY_TEAM: "The captain changes what the team registered with.",
        Operation.RESUBMIT_MY_TEAM: "The captain hands the team in again.",
        Operation.WITHDRAW_MY_TEAM: "The captain withdraws the team.",
    },
    name="TeamOperation",
    named_by="value",
)
describe_enum(
    DocumentReview,
    "The review of a document by organisers.",
    {
        DocumentReview.PENDING: "Not reviewed yet.",
        DocumentReview.ACCEPTED: "The document is accepted.",
        DocumentReview.REJECTED: "The document must be replaced; reviewNote says why.",
        DocumentReview.SUPERSEDED: "The document was replaced by a newer one.",
    },
)
describe_enum(
    Role,
    "The role of an organiser. Each role includes the rights of the roles below it.",
    {
        Role.OWNER: "Everything, including accounts of organisers.",
        Role.REVIEWER: "Decide on teams and documents.",
        Role.VIEWER: "Read teams, without contacts and documents.",
    },
    name="OrganiserRole",
)
describe_enum(
    ActorKind,
    "The kind of caller that caused an event.",
    {
        ActorKind.ORGANISER: "An organiser, signed in or by an API token.",
        ActorKind.CAPTAIN: "A person with the team's manageToken, or who registered the team.",
        ActorKind.SYSTEM: "The service itself, or its command line.",
        ActorKind.ANONYMOUS: "A caller without credentials.",
    },
)
describe_enum(
    AuditAction,
    "The action of an audit event. New values may be added, none are removed.",
    {
        AuditAction.TEAM_REGISTERED: "A captain registered the team.",
        AuditAction.TEAM_CONFIRMED: "An organiser confirmed the team.",
        AuditAction.TEAM_CHANGES_REQUESTED: "An organiser asked the captain for changes.",
        AuditAction.TEAM_RESUBMITTED: "The captain resubmitted the team.",
        AuditAction.TEAM_REJECTED: "An organiser rejected the team.",
        AuditAction.TEAM_WITHDRAWN: "The captain or an organiser withdrew the team.",
        AuditAction.TEAM_REOPENED: "An organiser reversed a decision.",
        AuditAction.TEAM_UPDATED: "The captain or an organiser changed the team's registration.",
        AuditAction.TEAM_PLAYER_ADDED: "An organiser added a player.",
        AuditAction.TEAM_PLAYER_UPDATED: "An organiser changed a player.",
        AuditAction.TEAM_PLAYER_REMOVED: "An organiser removed a player.",
        AuditAction.TEAM_TOKEN_REISSUED: "An organiser replaced the team's manageToken.",
        AuditAction.TEAM_CHURCH_MERGED: "The team's church was merged into another church.",
        AuditAction.TEAM_ERASED: "The team's personal data was erased.",
        AuditAction.TEAMS_EXPORTED: "An export of teams was downloaded.",
        AuditAction.CHURCH_MERGED: "An organiser merged two churches.",
        AuditAction.TOURNAMENT_UPDATED: "An organiser changed the season.",
        AuditAction.DOCUMENT_VIEWED: "A document was downloaded.",
        AuditAction.DOCUMENT_REVIEWED: "An organiser accepted or rejected a document.",
        AuditAction.DOCUMENT_EXPIRED: "A document was deleted at the end of its retention period.",
        AuditAction.ORGANISER_CREATED: "An organiser's account was created.",
        AuditAction.ORGANISER_INVITED: "A person was invited to become an organiser.",
        AuditAction.ORGANISER_INVITATION_ACCEPTED: "A person accepted an invitation.",
        AuditAction.ORGANISER_ROLE_CHANGED: "An organiser's role was changed.",
        AuditAction.ORGANISER_PASSWORD_RESET: "An organiser's password was replaced.",
        AuditAction.ORGANISER_SIGNED_IN: "An organiser signed in.",
        AuditAction.ORGANISER_SIGNED_OUT: "An organiser signed out.",
        AuditAction.ORGANISER_TOTP_ENABLED: "An organiser enabled the second factor.",
        AuditAction.ORGANISER_TOTP_DISABLED: "An organiser's second factor was disabled.",
        AuditAction.SESSION_REVOKED: "A session was revoked.",
        AuditAction.API_TOKEN_CREATED: "An API token was created.",
        AuditAction.API_TOKEN_REVOKED: "An API token was revoked.",
        AuditAction.BREAKER_RESET: "The circuit breaker of an external service was reset.",
        AuditAction.OTHER: "An action of another version of the service; changes.action"
        " has its name.",
    },
)
describe_enum(
    DeliveryKind,
    "The kind of a delivery. New values may be added, none are removed.",
    {
        DeliveryKind.MAIL_TEAM_RECEIVED: "A mail: the team was registered.",
        DeliveryKind.MAIL_TEAM_CONFIRMED: "A mail: the team was confirmed.",
        DeliveryKind.MAIL_CHANGES_REQUESTED: "A mail: the organisers request changes.",
        DeliveryKind.MAIL_TEAM_REJECTED: "A mail: the team was rejected.",
        DeliveryKind.MAIL_TEAM_WITHDRAWN: "A mail: the team was withdrawn.",
        DeliveryKind.MEDIA_MOVE: "Moves a team's files to the folder of its status.",
        DeliveryKind.MEDIA_DELETE: "Deletes a file.",
        DeliveryKind.OTHER: "A kind of another version of the service.",
    },
)
describe_enum(
    DeliveryStatus,
    "The state of a delivery.",
    {
        DeliveryStatus.OWED: "The delivery is pending.",
        DeliveryStatus.DELIVERED: "The delivery succeeded.",
        DeliveryStatus.DEAD: "The delivery failed permanently, or too often.",
    },
)
describe_enum(
    ExportFormat,
    "The file format of an export.",
    {
        ExportFormat.CSV: "UTF-8, one row for each player with the columns of the team. Values"
        " that a spreadsheet could take for a formula, phone numbers included, begin with an"
        " apostrophe.",
        ExportFormat.XLSX: "An Excel workbook with a sheet of teams and a sheet of players.",
    },
)
describe_enum(
    TeamOrderField,
    "The property that teams are sorted by.",
    {
        TeamOrderField.CODE: "The number in the code.",
        TeamOrderField.REGISTERED: "The time of registration.",
        TeamOrderField.NAME: "The team's name, without regard to case and accents.",
        TeamOrderField.CHURCH: "The church's name, then the code.",
    },
)
describe_enum(
    OrderDirection,
    "The direction of sorting.",
    {
        OrderDirection.ASC: "Ascending: the smallest, the earliest or A first.",
        OrderDirection.DESC: "Descending: the largest, the latest or Z first.",
    },
)
describe_enum(
    HealthStatus,
    "The health of the service, or of a part.",
    {
        HealthStatus.OK: "Works normally.",
        HealthStatus.DEGRADED: "Works with restrictions.",
        HealthStatus.DOWN: "Does not work.",
    },
)
describe_enum(
    Category,
    "The kind of an error, which says who can resolve it.",
    {
        Category.USER_INPUT: "The request must be changed.",
        Category.AUTH: "Authentication or another role is required.",
        Category.CONFLICT: "The current state does not allow the request.",
        Category.LIMIT: "A limit was reached.",
        Category.UPSTREAM: "A service that this service depends on is unavailable; try again.",
        Category.INTERNAL: "A defect of this service; report the requestId.",
    },
    name="ErrorCategory",
)
describe_enum(
    ErrorCode,
    "The values of extensions.code. New values may be added, none are removed.",
    {code: CATALOG[code].description for code in ErrorCode},
)
describe_enum(
    IssueCode,
    "The kind of a problem in a form. New values may be added, none are removed.",
    {code: code.description for code in IssueCode},
)
