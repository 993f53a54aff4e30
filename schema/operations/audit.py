"""The audit log: who did what, when."""

from datetime import datetime
from functools import partial
from typing import Annotated, Self
from uuid import UUID

import strawberry
from strawberry import argument, field

from domain.auth.roles import Caller, CallerKind, Role, may
from domain.naming import camel_case
from persistence.repositories.audit import AuditFilter as AuditSearch
from persistence.repositories.audit import AuditRecord
from resolvers.teams import queries
from schema.context import Info
from schema.enums import ActorKind, AuditAction
from schema.node import Node, parse_id
from schema.pagination import AFTER, FIRST, Connection, CursorCodec, checked_search
from schema.permissions import require_caller
from schema.scalars import JSON

_CURSORS = CursorCodec("audit", UUID)


@strawberry.type(description="Who did something.")
class AuditActor:
    kind: ActorKind = field(description="What kind of caller it was.")
    organiser_id: strawberry.ID | None = field(
        description="The organiser's, also of one who is gone. Told to organisers only."
    )
    email: str | None = field(description="The organiser's. Needs the role REVIEWER, else null.")

    @classmethod
    def from_record(cls, record: AuditRecord, caller: Caller) -> Self:
        kind, _, organiser = record.actor.partition(":")
        return cls(
            kind=ActorKind(kind),
            organiser_id=(
                strawberry.ID(organiser) if organiser and may(caller, Role.VIEWER) else None
            ),
            email=record.organiser_email if may(caller, Role.REVIEWER) else None,
        )


@strawberry.type(description="One thing that was done. It is never changed and never deleted.")
class AuditEvent(Node):
    at: datetime = field(description="When it was done.")
    actor: AuditActor = field(description="Who did it.")
    action: AuditAction = field(description="What was done.")
    team_code: str | None = field(
        description="Of the team that it was done to; null without one, and once it is erased."
    )
    request_id: str = field(description="Of the request that did it; the log has it too.")
    changes: JSON = field(
        description="What was changed, mostly by name as [old, new]. Without personal data."
    )
    reason: str | None = field(
        description="Why, in people's words; gone when the team is erased. For REVIEWERs and the"
        " team's captain, who is not told why a team was confirmed."
    )
    items: JSON | None = field(
        description="The changes that were asked for, or made to people's data, each with old and"
        " new; gone when the team is erased. For REVIEWERs and the team's captain."
    )

    @classmethod
    def from_record(cls, record: AuditRecord, caller: Caller) -> Self:
        is_captain = caller.role is None and caller.kind != CallerKind.SYSTEM
        is_told = is_captain or may(caller, Role.REVIEWER)
        is_ours = is_captain and record.action == AuditAction.TEAM_CONFIRMED
        return cls(
            id=strawberry.ID(record.id.hex),
            at=record.at,
            actor=AuditActor.from_record(record, caller),
            action=record.action,
            team_code=record.team_code,
            request_id=record.request_id,
            # Older events of the season have the names of columns.
            changes=JSON({camel_case(name): change for name, change in record.changes.items()}),
            reason=record.reason if is_told and not is_ours else None,
            items=JSON(list(record.items)) if is_told and record.items else None,
        )


@strawberry.input(description="What to look for in the audit log; all that is given has to hold.")
class AuditFilter:
    team_id: strawberry.ID | None = field(
        default=None, description="The team's id, also of one that is erased, or its code."
    )
    organiser_id: strawberry.ID | None = field(default=None, description="What this organiser did.")
    action: list[AuditAction] | None = field(default=None, description="Any of these.")
    since: datetime | None = field(default=None, description="From this moment on.")
    until: datetime | None = field(default=None, description="Before this moment.")


async def audit_log(
    info: Info,
    filter: Annotated[AuditFilter | None, argument(description="What to look for.")] = None,
    first: Annotated[int | None, argument(description=FIRST)] = None,
    after: Annotated[str | None, argument(description=AFTER)] = None,
) -> Connection[AuditEvent]:
    caller, services = require_caller(info, Role.REVIEWER), info.context.services
    wanted = filter or AuditFilter()
    search = AuditSearch(
        team=checked_search(wanted.team_id, "filter", "teamId"),
        organiser_id=parse_id(wanted.organiser_id, "filter", "organiserId")
        if wanted.organiser_id
        else None,
        actions=frozenset(wanted.action or ()),
        since=wanted.since,
        until=wanted.until,
    )
    page = await queries.audit_page(
        services, caller, wanted=search, part=_CURSORS.page_args(first=first, after=after)
    )
    return Connection.from_page(
        page,
        _CURSORS,
        lambda record: AuditEvent.from_record(record, caller),
        count=partial(queries.audit_count, services, wanted=search),
    )
