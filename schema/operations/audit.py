"""The audit log."""

from datetime import datetime
from functools import partial
from typing import Annotated, Self
from uuid import UUID

import strawberry
from strawberry import argument, field

from domain.auth.roles import Caller, CallerKind, Role, has_role
from domain.naming import camel_case
from persistence.repositories.audit import AuditFilter, AuditRecord
from resolvers.teams import queries
from schema.context import Info
from schema.enums import ActorKind, AuditAction
from schema.node import Node, parse_id
from schema.pagination import AFTER, FIRST, Connection, CursorCodec, checked_search
from schema.permissions import require_caller
from schema.scalars import JSON

_CURSORS = CursorCodec("audit", UUID)


@strawberry.type(description="The person or program that caused an event.")
class AuditActor:
    kind: ActorKind = field(description="The kind of caller.")
    organiser_id: strawberry.ID | None = field(
        description="The organiser's id, even if the account no longer exists. Shown to organisers"
        " only."
    )
    email: str | None = field(
        description="The organiser's e-mail address. Null for callers below the role REVIEWER."
    )

    @classmethod
    def from_record(cls, record: AuditRecord, caller: Caller) -> Self:
        kind, _, organiser = record.actor.partition(":")
        return cls(
            kind=ActorKind(kind),
            organiser_id=(
                strawberry.ID(organiser) if organiser and has_role(caller, Role.VIEWER) else None
            ),
            email=record.organiser_email if has_role(caller, Role.REVIEWER) else None,
        )


@strawberry.type(
    description="An event of the audit log. Events are kept forever; reason and items are deleted"
    " with their team."
)
class AuditEvent(Node):
    at: datetime = field(description="When the event happened.")
    actor: AuditActor = field(description="The person or program that caused the event.")
    action: AuditAction = field(description="The action.")
    team_code: str | None = field(
        description="The code of the team that the event is about. Null for other events, and after"
        " the team is erased."
    )
    request_id: str = field(description="The id of the request, as in the log.")
    changes: JSON = field(description="The changes, mostly as [old, new], without personal data.")
    reason: str | None = field(
        description="The reason that was given; deleted when the team is erased. Shown to REVIEWERs"
        " and to the team's captain, except for reasons of confirmations."
    )
    items: JSON | None = field(
        description="Requested changes, or old and new values of personal data; deleted when the"
        " team is erased. Shown to REVIEWERs and to the team's captain."
    )

    @classmethod
    def from_record(cls, record: AuditRecord, caller: Caller) -> Self:
        is_captain = caller.role is None and caller.kind != CallerKind.SYSTEM
        sees_reason = is_captain or has_role(caller, Role.REVIEWER)
        # An override is the organisers' own matter.
        is_internal_reason = is_captain and record.action == AuditAction.TEAM_CONFIRMED
        return cls(
            id=strawberry.ID(record.id.hex),
            at=record.at,
            actor=AuditActor.from_record(record, caller),
            action=record.action,
            team_code=record.team_code,
            request_id=record.request_id,
            # Older events of the season have the names of columns.
            changes=JSON({camel_case(name): change for name, change in record.changes.items()}),
            reason=record.reason if sees_reason and not is_internal_reason else None,
            items=JSON(list(record.items)) if sees_reason and record.items else None,
        )


@strawberry.input(
    name="AuditFilter",
    description="Conditions on events of the audit log. All of them must hold.",
)
class AuditFilterInput:
    team_id: strawberry.ID | None = field(
        default=None, description="The team's id, also after it was erased, or its code."
    )
    organiser_id: strawberry.ID | None = field(
        default=None, description="Events that this organiser caused."
    )
    action: list[AuditAction] | None = field(
        default=None, description="Events with any of these actions."
    )
    since: datetime | None = field(default=None, description="Events from this time on.")
    until: datetime | None = field(default=None, description="Events before this time.")


async def audit_log(
    info: Info,
    filter: Annotated[
        AuditFilterInput | None, argument(description="Conditions on the events.")
    ] = None,
    first: Annotated[int | None, argument(description=FIRST)] = None,
    after: Annotated[str | None, argument(description=AFTER)] = None,
) -> Connection[AuditEvent]:
    caller, services = require_caller(info, Role.REVIEWER), info.context.services
    conditions = filter or AuditFilterInput()
    audit_filter = AuditFilter(
        team=checked_search(conditions.team_id, "filter", "teamId"),
        organiser_id=parse_id(conditions.organiser_id, "filter", "organiserId")
        if conditions.organiser_id is not None
        else None,
        actions=frozenset(conditions.action or ()),
        since=conditions.since,
        until=conditions.until,
    )
    page = await queries.audit_page(
        services, caller, audit_filter, _CURSORS.page_request(first=first, after=after)
    )
    return Connection.from_page(
        page,
        _CURSORS,
        lambda record: AuditEvent.from_record(record, caller),
        count=partial(queries.audit_count, services, caller, audit_filter),
    )
