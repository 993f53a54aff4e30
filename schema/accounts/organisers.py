"""The organisers among themselves: invitations and roles."""

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
from schema.permissions import require_caller, token_guesses_counted
from schema.scalars import EmailAddress


@strawberry.input(description="Who is invited.")
class InviteOrganiserInput:
    email: EmailAddress = field(description="What the organiser will sign in with.")
    role: Role = field(description="What the organiser will be allowed to do.")


@strawberry.type(description="The answer to inviteOrganiser.")
class InviteOrganiserPayload:
    organiser: Organiser = field(description="Who was invited.")
    invitation_token: str = field(
        description="For acceptInvitation, to be passed on in private; told once."
    )
    expires_at: datetime = field(description="From then on, after 7 days, it is not taken.")
    replayed: bool = field(description="True when the idempotency key had made it before.")


@strawberry.input(description="An invitation and the password that was chosen.")
class AcceptInvitationInput:
    token: str = field(description="As inviteOrganiser gave it.")
    password: str = field(
        description="12 to 128 characters, none of the most common ones, not the e-mail address."
    )


@strawberry.type(description="The answer to acceptInvitation.")
class AcceptInvitationPayload:
    organiser: Organiser = field(description="Who can sign in from now on.")


@strawberry.input(description="An organiser and their new role.")
class SetOrganiserRoleInput:
    id: strawberry.ID = field(description="The organiser's.")
    role: Role = field(description="From now on, for sessions and API tokens that are open too.")


@strawberry.type(description="The answer to setOrganiserRole.")
class SetOrganiserRolePayload:
    organiser: Organiser = field(description="With the new role.")


async def organisers(info: Info) -> list[Organiser]:
    context = info.context
    found = await use_cases.list_organisers(context.services, context.caller)
    return [Organiser.from_record(record) for record in found]


async def invite_organiser(
    info: Info, input: Annotated[InviteOrganiserInput, argument(description="Who.")]
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
    context.sign_in_guard.require_allowed_network()
    async with token_guesses_counted(info, input.token):
        accepted = await use_cases.accept_invitation(
            context.services, token=input.token, password=input.password
        )
    return AcceptInvitationPayload(organiser=Organiser.from_record(accepted))


async def set_organiser_role(
    info: Info, input: Annotated[SetOrganiserRoleInput, argument(description="Who and what.")]
) -> SetOrganiserRolePayload | None:
    caller = require_caller(info, Role.OWNER)
    changed = await use_cases.set_role(
        info.context.services, caller, parse_id(input.id, "input", "id"), input.role
    )
    return SetOrganiserRolePayload(organiser=Organiser.from_record(changed))
