"""The domain's enumerations as GraphQL shows them, each value described.

The types of the schema import them from here, so that none is used before it is described.
"""

from collections.abc import Mapping
from enum import Enum, StrEnum
from typing import Any, Literal, TypeVar

import strawberry

from domain.audit import AuditAction
from domain.auth.roles import Role
from domain.deliveries import DeliveryKind
from domain.documents import DocumentFormat, DocumentKind, DocumentReview
from domain.errors.exceptions import CATALOG, ISSUE_CATALOG, Category, ErrorCode, IssueCode
from domain.operations import Operation
from domain.registration.forms import PlayerRole
from domain.spreadsheets import ExportFormat
from domain.teams.readiness import BlockerActor, BlockerCode
from domain.teams.status import TeamStatus
from domain.tournaments import RegistrationState
from persistence.repositories.outbox import DeliveryStatus
from persistence.repositories.team_search import TeamOrderField

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


class HealthStatus(StrEnum):
    OK = "OK"
    DEGRADED = "DEGRADED"
    DOWN = "DOWN"


class OrderDirection(StrEnum):
    ASC = "ASC"
    DESC = "DESC"


class ActorKind(StrEnum):
    """Values are what stands before the colon in the audit log."""

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
    "Where a team's application stands.",
    {
        TeamStatus.PENDING: "Received; organisers have not decided.",
        TeamStatus.CHANGES_REQUESTED: "Organisers asked the captain for corrections.",
        TeamStatus.CONFIRMED: "The team plays.",
        TeamStatus.REJECTED: "Organisers refused the team; its place is free again.",
        TeamStatus.WITHDRAWN: "The team gave up its place.",
    },
)
describe_enum(
    PlayerRole,
    "What a player does best.",
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
        RegistrationState.OPEN: "Teams can register and places are left.",
        RegistrationState.FULL: "Within the window, but every place is taken.",
        RegistrationState.CLOSED: "From closesAt on.",
    },
)
describe_enum(
    DocumentKind,
    "What a document is.",
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
    "The format of a file, told by its content.",
    {
        DocumentFormat.PNG: "image/png",
        DocumentFormat.JPEG: "image/jpeg",
        DocumentFormat.PDF: "application/pdf",
    },
)
describe_enum(
    BlockerCode,
    "What stands between a team and its confirmation.",
    {
        BlockerCode.DOCUMENT_MISSING: "A required document is not there.",
        BlockerCode.DOCUMENT_REJECTED: "A required document was rejected.",
        BlockerCode.DOCUMENT_NOT_REVIEWED: "A required document has not been looked at.",
        BlockerCode.CHANGES_REQUESTED: "The captain has been asked for changes.",
        BlockerCode.ALREADY_DECIDED: "The team is confirmed, rejected or withdrawn.",
    },
)
describe_enum(
    BlockerActor,
    "Who has to do something.",
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
    "What organisers said of a document.",
    {
        DocumentReview.PENDING: "Nothing yet.",
        DocumentReview.ACCEPTED: "It is what it has to be.",
        DocumentReview.REJECTED: "Another one is needed; reviewNote says why.",
        DocumentReview.SUPERSEDED: "Another one has taken its place.",
    },
)
describe_enum(
    Role,
    "What an organiser may do; each may do what the ones after it may do.",
    {
        Role.OWNER: "Everything: also accounts of organisers.",
        Role.REVIEWER: "Decide on teams and documents.",
        Role.VIEWER: "Look, without contacts and documents.",
    },
    name="OrganiserRole",
)
describe_enum(
    ActorKind,
    "What kind of caller did something.",
    {
        ActorKind.ORGANISER: "Somebody who signed in, or a script of theirs.",
        ActorKind.CAPTAIN: "Somebody with the team's manageToken, or who registered it.",
        ActorKind.SYSTEM: "The service itself, or its command line.",
        ActorKind.ANONYMOUS: "Somebody who was not known yet.",
    },
)
describe_enum(
    AuditAction,
    "What was done. Actions are only ever added.",
    {
        AuditAction.TEAM_REGISTERED: "A captain registered the team.",
        AuditAction.TEAM_CONFIRMED: "An organiser confirmed the team.",
        AuditAction.TEAM_CHANGES_REQUESTED: "An organiser asked the captain for changes.",
        AuditAction.TEAM_RESUBMITTED: "The captain handed the team in again.",
        AuditAction.TEAM_REJECTED: "An organiser rejected the team.",
        AuditAction.TEAM_WITHDRAWN: "The captain or an organiser withdrew the team.",
        AuditAction.TEAM_REOPENED: "An organiser took a decision back.",
        AuditAction.TEAM_UPDATED: "The captain or an organiser changed what the team registered"
        " with.",
        AuditAction.TEAM_PLAYER_ADDED: "An organiser added a player.",
        AuditAction.TEAM_PLAYER_UPDATED: "An organiser changed a player.",
        AuditAction.TEAM_PLAYER_REMOVED: "An organiser removed a player.",
        AuditAction.TEAM_TOKEN_REISSUED: "An organiser replaced the team's manageToken.",
        AuditAction.TEAM_CHURCH_MERGED: "The team's church was merged into another one.",
        AuditAction.TEAM_ERASED: "The team's personal data was erased.",
        AuditAction.TEAMS_EXPORTED: "An export of teams was downloaded.",
        AuditAction.CHURCH_MERGED: "An organiser merged two churches.",
        AuditAction.TOURNAMENT_UPDATED: "An organiser changed the season.",
        AuditAction.DOCUMENT_VIEWED: "A document was downloaded.",
        AuditAction.DOCUMENT_REVIEWED: "An organiser accepted or rejected a document.",
        AuditAction.DOCUMENT_EXPIRED: "A document was deleted at the end of its time.",
        AuditAction.ORGANISER_CREATED: "An organiser's account was made.",
        AuditAction.ORGANISER_INVITED: "Somebody was invited to be an organiser.",
        AuditAction.ORGANISER_INVITATION_ACCEPTED: "Somebody accepted an invitation.",
        AuditAction.ORGANISER_ROLE_CHANGED: "An organiser's role was changed.",
        AuditAction.ORGANISER_PASSWORD_RESET: "An organiser's password was replaced.",
        AuditAction.ORGANISER_SIGNED_IN: "An organiser signed in.",
        AuditAction.ORGANISER_SIGNED_OUT: "An organiser signed out.",
        AuditAction.ORGANISER_TOTP_ENABLED: "An organiser enabled the second factor.",
        AuditAction.ORGANISER_TOTP_DISABLED: "An organiser's second factor was disabled.",
        AuditAction.SESSION_REVOKED: "A session was ended from elsewhere.",
        AuditAction.API_TOKEN_CREATED: "An API token was made.",
        AuditAction.API_TOKEN_REVOKED: "An API token was ended.",
        AuditAction.BREAKER_RESET: "Calls to an outside service were let through again.",
        AuditAction.OTHER: "An action of another version of the service; changes.action names it.",
    },
)
describe_enum(
    DeliveryKind,
    "What is delivered. Kinds are only ever added.",
    {
        DeliveryKind.MAIL_TEAM_RECEIVED: "A mail: the team is registered.",
        DeliveryKind.MAIL_TEAM_CONFIRMED: "A mail: the team is confirmed.",
        DeliveryKind.MAIL_CHANGES_REQUESTED: "A mail: the team has to be changed.",
        DeliveryKind.MAIL_TEAM_REJECTED: "A mail: the team is rejected.",
        DeliveryKind.MAIL_TEAM_WITHDRAWN: "A mail: the team is withdrawn.",
        DeliveryKind.MEDIA_MOVE: "A team's files go to the folder of its status.",
        DeliveryKind.MEDIA_DELETE: "A file is deleted.",
        DeliveryKind.OTHER: "A kind of another version of the service.",
    },
)
describe_enum(
    DeliveryStatus,
    "Where a delivery stands.",
    {
        DeliveryStatus.OWED: "It is still to be done.",
        DeliveryStatus.DELIVERED: "It is done.",
        DeliveryStatus.DEAD: "It failed for good, or was tried too often.",
    },
)
describe_enum(
    ExportFormat,
    "What kind of file an export is.",
    {
        ExportFormat.CSV: "UTF-8, one row for each player with the columns of the team. A text that"
        " a spreadsheet could take for a formula, phones too, begins with an apostrophe.",
        ExportFormat.XLSX: "For spreadsheets: a sheet of teams and one of players.",
    },
)
describe_enum(
    TeamOrderField,
    "What teams are listed by.",
    {
        TeamOrderField.CODE: "The number in the code.",
        TeamOrderField.REGISTERED: "When it registered.",
        TeamOrderField.NAME: "The team's name, however it is written.",
        TeamOrderField.CHURCH: "The church's name, then the code.",
    },
)
describe_enum(
    OrderDirection,
    "Which end of a list comes first.",
    {
        OrderDirection.ASC: "The smallest, the earliest, A.",
        OrderDirection.DESC: "The largest, the latest, Z.",
    },
)
describe_enum(
    HealthStatus,
    "How a part of the service is.",
    {
        HealthStatus.OK: "Works.",
        HealthStatus.DEGRADED: "Works with less than it should have.",
        HealthStatus.DOWN: "Does not work.",
    },
)
describe_enum(
    Category,
    "What kind of error it is, and so who can do something about it.",
    {
        Category.USER_INPUT: "What was sent must change.",
        Category.AUTH: "Signing in, or another role, is needed.",
        Category.CONFLICT: "The state of the service does not allow it now.",
        Category.LIMIT: "A limit was reached.",
        Category.UPSTREAM: "Something that the service depends on is away; try again.",
        Category.INTERNAL: "A defect of the service; report the requestId.",
    },
    name="ErrorCategory",
)
describe_enum(
    ErrorCode,
    "What extensions.code says. Codes are only ever added.",
    {code: definition.description for code, definition in CATALOG.items()},
)
describe_enum(
    IssueCode,
    "What is wrong with one place of a form. Codes are only ever added.",
    {code: definition.description for code, definition in ISSUE_CATALOG.items()},
)
