"""Addresses that show something to whoever has them, for a while, in an organiser's name."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from domain.auth.roles import SYSTEM, Caller, CallerKind, Role
from domain.errors.exceptions import NotFound
from persistence.engine.database import Connection
from persistence.repositories import organisers
from resolvers.security.secrets import NotSigned, read_signed, sign
from resolvers.services import Services


def sign_link(
    services: Services, caller: Caller, purpose: str, *claims: str
) -> tuple[str, datetime]:
    """The signed text, and when it ends. It can do no more than the caller could."""
    expires_at = (services.clock() + services.storage.link_lifetime).replace(microsecond=0)
    organiser = caller.organiser_id.hex if caller.organiser_id else SYSTEM.actor
    role = caller.role or Role.OWNER
    signed: list[str | int] = [organiser, role.value, int(expires_at.timestamp()), *claims]
    return sign(services.secrets, purpose, signed), expires_at


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedLink:
    """In whose name it is, None for the system, and what the caller could do who made it."""

    organiser_id: UUID | None
    role: Role
    claims: list[Any]


def read_link(services: Services, purpose: str, text: str) -> SignedLink:
    """Raises NotSigned, NotFound."""
    signed = read_signed(services.secrets, purpose, text)
    if signed is None:
        raise NotSigned("There is no such link.")
    organiser, role, expires_at, *claims = signed
    if services.clock() >= datetime.fromtimestamp(expires_at, UTC):
        raise NotFound("This link has expired. Ask for another one.")
    organiser_id = None if organiser == SYSTEM.actor else UUID(organiser)
    return SignedLink(organiser_id=organiser_id, role=Role(role), claims=claims)


async def resolve_link_caller(connection: Connection, link: SignedLink, role: Role) -> Caller:
    """Who it stands for, with the lower of the roles of then and now.

    Raises NotFound below `role`.
    """
    if link.organiser_id is None:
        return SYSTEM
    organiser = await organisers.find(connection, link.organiser_id)
    if organiser is None or not organiser.role.at_least(role):
        raise NotFound("This link has expired. Ask for another one.")
    return Caller(
        kind=CallerKind.ORGANISER,
        organiser_id=organiser.id,
        role=link.role.lower_of(organiser.role),
    )
