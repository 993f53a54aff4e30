"""Addresses that show something to whoever has them, for a while, in an organiser's name."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from domain.errors import NotFound
from domain.roles import SYSTEM, Caller, CallerKind, Role
from persistence import organisers
from persistence.database import Connection
from resolvers.context import Services
from resolvers.secrets import read_signed, sign


def sign_link(
    services: Services, caller: Caller, purpose: str, *claims: str
) -> tuple[str, datetime]:
    """The signed text, and when it ends."""
    expires_at = (services.clock() + services.storage.link_lifetime).replace(microsecond=0)
    organiser = caller.organiser_id.hex if caller.organiser_id else SYSTEM.actor
    signed: list[str | int] = [organiser, int(expires_at.timestamp()), *claims]
    return sign(services.secrets, purpose, signed), expires_at


def read_link(services: Services, purpose: str, text: str) -> tuple[UUID | None, list[Any]]:
    """The organiser in whose name it is, None for the system, and the claims. Raises NotFound."""
    signed = read_signed(services.secrets, purpose, text)
    if signed is None:
        raise NotFound("There is no such link.")
    organiser, expires_at, *claims = signed
    if services.clock() >= datetime.fromtimestamp(expires_at, UTC):
        raise NotFound("This link has expired. Ask for another one.")
    return (None if organiser == SYSTEM.actor else UUID(organiser)), claims


async def linked_caller(connection: Connection, organiser_id: UUID | None, role: Role) -> Caller:
    """Who a link stands for, with the role of now. Raises NotFound below `role`."""
    if organiser_id is None:
        return SYSTEM
    organiser = await organisers.find(connection, organiser_id)
    if organiser is None or not organiser.role.at_least(role):
        raise NotFound("This link has expired. Ask for another one.")
    return Caller(kind=CallerKind.ORGANISER, organiser_id=organiser.id, role=organiser.role)
