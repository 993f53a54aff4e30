"""Organiser accounts: invitations and roles."""

from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import argument, field

from resolvers.accounts import organisers as use_cases
from resolvers.registration.register import resolve_idempotency_key
from schema.accounts.sessions import Organiser
from schema.context import Info
from schema.enums import Role
from schema.node import parse_id
from schema.permissions import count_token_guesses, require_caller
from schema.scalars import EmailAddress


@strawberry.input(description="The organiser to invite.")
class InviteOrganiserInput:
    email: EmailAddress = field(description="The address by which the organiser will sign in.")
    role: Role = field(description="The organiser's role.")


@strawberry.type(description="The payload of inviteOrganiser.")
class InviteOrganiserPayload:
    organiser: Organiser = field(description="The invited organiser.")
    invitation_token: str = field(
        description="The token for acceptInvitation, to be passed on in private. It is shown only"
        " once."
    )
    expires_at: datetime = field(description="When the invitation expires: after 7 days.")
    replayed: bool = field(
        description="True if an earlier request with the same idempotency key created the"
        " invitation."
    )


@strawberry.input(description="An invitation and the password that the organiser chose.")
class AcceptInvitationInput:
    token: str = field(description="The invitationToken of inviteOrganiser.")
    password: str = field(description="12 to 128 characters; not a common password or the address.")


@strawberry.type(description="The payload of acceptInvitation.")
class AcceptInvitationPayload:
    organiser: Organiser = field(description="The organiser, who can now sign in.")


@strawberry.input(description="An organiser and the new role.")
class SetOrganiserRoleInput:
    id: strawberry.ID = field(description="The organiser's id.")
    role: Role = field(description="The new role, which open sessions and API tokens get at once.")


@strawberry.type(description="The payload of setOrganiserRole.")
class SetOrganiserRolePayload:
    organiser: Organiser = field(description="The organiser with the new role.")


async def organisers(info: Info) -> list[Organiser]:
    context = info.context
    records = await use_cases.list_organisers(context.services, context.caller)
    return [Organiser.from_record(record) for record in records]


async def invite_organiser(
    info: Info,
    input: Annotated[InviteOrganiserInput, argument(description="The organiser to invite.")],
) -> InviteOrganiserPayload | None:
    context = info.context
    invitation = await use_cases.invite(
        context.services,
        context.caller,
        email=input.email,
        role=input.role,
        key=resolve_idempotency_key(context.idempotency_key, None),
    )
    return InviteOrganiserPayload(
        organiser=Organiser.from_record(invitation.organiser),
        invitation_token=invitation.token,
        expires_at=invitation.expires_at,
        replayed=invitation.is_replay,
    )


async def accept_invitation(
    info: Info, input: Annotated[AcceptInvitationInput, argument(description="The invitation.")]
) -> AcceptInvitationPayload | None:
    context = info.context
    context.sign_in_gate.require_allowed_network()
    async with count_token_guesses(info, input.token):
        accepted = await use_cases.accept_invitation(
            context.services, token=input.token, password=input.password
        )
    return AcceptInvitationPayload(organiser=Organiser.from_record(accepted))


async def set_organiser_role(
    info: Info,
    input: Annotated[
        SetOrganiserRoleInput, argument(description="The organiser and the new role.")
    ],
) -> SetOrganiserRolePayload | None:
    caller = require_caller(info, Role.OWNER)
    changed = await use_cases.set_role(
        info.context.services, caller, parse_id(input.id, "input", "id"), input.role
    )
    return SetOrganiserRolePayload(organiser=Organiser.from_record(changed))
