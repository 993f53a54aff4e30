"""Outbox messages and their delivery state."""

from datetime import datetime
from functools import partial
from typing import Annotated, Self
from uuid import UUID

import strawberry
from strawberry import argument, field

from domain.auth.roles import Role
from persistence.repositories.outbox import DeliveryFilter, DeliveryRecord
from resolvers.teams import queries
from schema.context import Info
from schema.enums import DeliveryKind, DeliveryStatus
from schema.node import Node
from schema.pagination import AFTER, FIRST, Connection, CursorCodec, checked_search
from schema.permissions import require_caller

_CURSORS = CursorCodec("delivery", UUID)


@strawberry.type(description="An outbox message: a mail to send, or a file to move or delete.")
class Delivery(Node):
    kind: DeliveryKind = field(description="The kind of delivery.")
    status: DeliveryStatus = field(description="The state of the delivery.")
    team_code: str | None = field(description="The code of the team concerned, if any.")
    attempts: int = field(description="How many attempts were made.")
    created_at: datetime = field(description="When the message was created.")
    due_at: datetime | None = field(
        description="When the next attempt is due; null after the delivery has succeeded or failed"
        " for good."
    )
    settled_at: datetime | None = field(description="When it succeeded or failed for good.")
    failure: str | None = field(description="The name of the last error, without its message.")

    @classmethod
    def from_record(cls, record: DeliveryRecord) -> Self:
        return cls(
            id=strawberry.ID(record.id.hex),
            kind=record.kind,
            status=record.status,
            team_code=record.team_code,
            attempts=record.attempts,
            created_at=record.created_at,
            due_at=record.due_at,
            settled_at=record.settled_at,
            failure=record.failure,
        )


@strawberry.input(
    name="DeliveryFilter", description="Conditions on deliveries. All of them must hold."
)
class DeliveryFilterInput:
    status: list[DeliveryStatus] | None = field(default=None, description="Any of these values.")
    kind: list[DeliveryKind] | None = field(default=None, description="Any of these values.")
    team_id: strawberry.ID | None = field(default=None, description="The team's id or code.")


async def deliveries(
    info: Info,
    filter: Annotated[
        DeliveryFilterInput | None, argument(description="Conditions on the deliveries.")
    ] = None,
    first: Annotated[int | None, argument(description=FIRST)] = None,
    after: Annotated[str | None, argument(description=AFTER)] = None,
) -> Connection[Delivery]:
    caller, services = require_caller(info, Role.REVIEWER), info.context.services
    conditions = filter or DeliveryFilterInput()
    delivery_filter = DeliveryFilter(
        statuses=conditions.status or (),
        kinds=frozenset(conditions.kind or ()),
        team=checked_search(conditions.team_id, "filter", "teamId"),
    )
    page = await queries.delivery_page(
        services, caller, delivery_filter, _CURSORS.page_request(first=first, after=after)
    )
    return Connection.from_page(
        page,
        _CURSORS,
        Delivery.from_record,
        count=partial(queries.delivery_count, services, caller, delivery_filter),
    )
