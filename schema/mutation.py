"""Mutations. The class at the end is the table of contents."""

from typing import Annotated

import strawberry
from strawberry import argument

from domain.auth.roles import Role
from resolvers.registration import register
from schema.accounts.api_tokens import (
    CreateApiTokenPayload,
    RevokeApiTokenPayload,
    create_api_token,
    revoke_api_token,
)
from schema.accounts.organisers import (
    AcceptInvitationPayload,
    InviteOrganiserPayload,
    SetOrganiserRolePayload,
    accept_invitation,
    invite_organiser,
    set_organiser_role,
)
from schema.accounts.sessions import (
    RevokeSessionPayload,
    SignInPayload,
    SignOutPayload,
    revoke_session,
    sign_in,
    sign_out,
)
from schema.accounts.totp import (
    ConfirmTotpPayload,
    DisableTotpPayload,
    EnableTotpPayload,
    confirm_totp,
    disable_totp,
    enable_totp,
)
from schema.context import Info
from schema.documents import OpenUploadPayload, open_upload
from schema.error_docs import append_error_codes
from schema.exports import ExportTeamsPayload, export_teams
from schema.idempotency import append_repeat_behaviour
from schema.operations.health import ResetBreakerPayload, reset_breaker
from schema.permissions import with_role_note
from schema.registration.inputs import RegisterTeamInput
from schema.teams.captain import (
    ResubmitMyTeamPayload,
    UpdateMyTeamPayload,
    WithdrawMyTeamPayload,
    resubmit_my_team,
    update_my_team,
    withdraw_my_team,
)
from schema.teams.corrections import (
    AddPlayerPayload,
    ReissueManageTokenPayload,
    RemovePlayerPayload,
    UpdatePlayerPayload,
    UpdateTeamPayload,
    add_player,
    reissue_manage_token,
    remove_player,
    update_player,
    update_team,
)
from schema.teams.decisions import (
    ConfirmTeamPayload,
    ConfirmTeamsPayload,
    RejectTeamPayload,
    RejectTeamsPayload,
    ReopenTeamPayload,
    RequestChangesPayload,
    ReviewDocumentPayload,
    WithdrawTeamPayload,
    confirm_team,
    confirm_teams,
    reject_team,
    reject_teams,
    reopen_team,
    request_changes,
    review_document,
    withdraw_team,
)
from schema.teams.erasure import EraseTeamPayload, erase_team
from schema.teams.types import RegisterTeamPayload
from schema.tournaments.admin import (
    MergeChurchesPayload,
    UpdateTournamentPayload,
    merge_churches,
    update_tournament,
)


async def register_team(
    info: Info,
    input: Annotated[RegisterTeamInput, argument(description="The registration form.")],
) -> RegisterTeamPayload | None:
    context = info.context
    registered = await register.register_team(
        context.services,
        input.to_form(),
        key=register.resolve_idempotency_key(context.idempotency_key, input.idempotency_key),
        request_id=context.request_id,
    )
    return RegisterTeamPayload.from_registered(registered)


@strawberry.type(
    description="All mutations. The description of each lists its error codes, in addition to"
    " the general ones that any operation may return."
)
class Mutation:
    open_upload: OpenUploadPayload | None = strawberry.mutation(
        resolver=open_upload,
        description="Request permission to upload a file. The returned documentId goes into the"
        " form. Public; counted as an upload, not as a mutation.",
    )
    register_team: RegisterTeamPayload | None = strawberry.mutation(
        resolver=register_team,
        description="Register a team. All problems of the form are reported at once. Safe to repeat"
        " with the same idempotency key. Public.",
    )
    reset_breaker: ResetBreakerPayload | None = strawberry.mutation(
        resolver=reset_breaker,
        description="Reset the circuit breaker of an external service, so that it is called again"
        " at once. Affects only the answering process; others retry by themselves."
        " Needs the role REVIEWER.",
    )
    update_my_team: UpdateMyTeamPayload | None = strawberry.mutation(
        resolver=update_my_team,
        description="Change the team's registration, while it is pending and registration is open,"
        " or while changes are requested. Accepted documents stay. Needs the manageToken.",
    )
    resubmit_my_team: ResubmitMyTeamPayload | None = strawberry.mutation(
        resolver=resubmit_my_team,
        description="Resubmit the team after changes were requested, with new documents in place of"
        " rejected ones. Needs the manageToken.",
    )
    withdraw_my_team: WithdrawMyTeamPayload | None = strawberry.mutation(
        resolver=withdraw_my_team,
        description="Withdraw the team and free its place. Needs the manageToken.",
    )
    review_document: ReviewDocumentPayload | None = strawberry.mutation(
        resolver=review_document,
        description=with_role_note(
            Role.REVIEWER, "Accept or reject a document of a team that is not decided yet."
        ),
    )
    confirm_team: ConfirmTeamPayload | None = strawberry.mutation(
        resolver=confirm_team,
        description=with_role_note(
            Role.REVIEWER,
            "Confirm a pending team that has no blockers, or with a reason to override them.",
        ),
    )
    reject_team: RejectTeamPayload | None = strawberry.mutation(
        resolver=reject_team,
        description=with_role_note(
            Role.REVIEWER, "Reject a team that is not confirmed, and free its place."
        ),
    )
    request_changes: RequestChangesPayload | None = strawberry.mutation(
        resolver=request_changes,
        description=with_role_note(Role.REVIEWER, "Ask the captain of a pending team for changes."),
    )
    reopen_team: ReopenTeamPayload | None = strawberry.mutation(
        resolver=reopen_team,
        description=with_role_note(
            Role.REVIEWER,
            "Make a confirmed team pending again, or a rejected team if places are left.",
        ),
    )
    withdraw_team: WithdrawTeamPayload | None = strawberry.mutation(
        resolver=withdraw_team,
        description=with_role_note(Role.REVIEWER, "Withdraw a live team and free its place."),
    )
    confirm_teams: ConfirmTeamsPayload | None = strawberry.mutation(
        resolver=confirm_teams,
        description=with_role_note(
            Role.REVIEWER, "Confirm up to 100 teams, each as confirmTeam does."
        ),
    )
    reject_teams: RejectTeamsPayload | None = strawberry.mutation(
        resolver=reject_teams,
        description=with_role_note(
            Role.REVIEWER, "Reject up to 100 teams, each as rejectTeam does."
        ),
    )
    update_team: UpdateTeamPayload | None = strawberry.mutation(
        resolver=update_team,
        description=with_role_note(
            Role.REVIEWER, "Correct the names, the church or the contacts of a live team."
        ),
    )
    update_player: UpdatePlayerPayload | None = strawberry.mutation(
        resolver=update_player,
        description=with_role_note(Role.REVIEWER, "Correct a player of a live team."),
    )
    add_player: AddPlayerPayload | None = strawberry.mutation(
        resolver=add_player,
        description=with_role_note(Role.REVIEWER, "Add a player to the squad of a live team."),
    )
    remove_player: RemovePlayerPayload | None = strawberry.mutation(
        resolver=remove_player,
        description=with_role_note(
            Role.REVIEWER,
            "Remove a player from the squad of a live team, with the player's documents.",
        ),
    )
    reissue_manage_token: ReissueManageTokenPayload | None = strawberry.mutation(
        resolver=reissue_manage_token,
        description=with_role_note(
            Role.REVIEWER, "Create a new manageToken for the captain; the previous one is void."
        ),
    )
    update_tournament: UpdateTournamentPayload | None = strawberry.mutation(
        resolver=update_tournament,
        description=with_role_note(
            Role.OWNER,
            "Change the registration window, capacity, limits, fee or required documents.",
        ),
    )
    merge_churches: MergeChurchesPayload | None = strawberry.mutation(
        resolver=merge_churches,
        description=with_role_note(
            Role.OWNER,
            "Merge a church into another one. The names of the removed church become aliases of the"
            " other.",
        ),
    )
    erase_team: EraseTeamPayload | None = strawberry.mutation(
        resolver=erase_team,
        description=with_role_note(
            Role.OWNER,
            "Delete a team with all personal data and files. The audit log stays, without"
            " personal data. This cannot be undone.",
        ),
    )
    export_teams: ExportTeamsPayload | None = strawberry.mutation(
        resolver=export_teams,
        description=with_role_note(
            Role.VIEWER, "Create a link to a file of teams and players. VIEWERs get no contacts."
        ),
    )
    sign_in: SignInPayload | None = strawberry.mutation(
        resolver=sign_in,
        description="Sign in as an organiser. After 10 failures within 15 minutes, by default, the"
        " client has to wait. After 100 failures for one account all clients have to wait, except"
        " those that have signed in to it before. Public.",
    )
    sign_out: SignOutPayload | None = strawberry.mutation(
        resolver=sign_out,
        description="End the session and delete its cookie. Public: anonymous callers may also call"
        " this.",
    )
    revoke_session: RevokeSessionPayload | None = strawberry.mutation(
        resolver=revoke_session,
        description=with_role_note(
            Role.VIEWER, "Revoke one of the caller's sessions, as OWNER any session.", session=True
        ),
    )
    create_api_token: CreateApiTokenPayload | None = strawberry.mutation(
        resolver=create_api_token,
        description=with_role_note(
            Role.VIEWER, "Create an API token, by which a script acts for the caller.", session=True
        ),
    )
    revoke_api_token: RevokeApiTokenPayload | None = strawberry.mutation(
        resolver=revoke_api_token,
        description=with_role_note(
            Role.VIEWER, "Revoke one of the caller's API tokens, as OWNER any token.", session=True
        ),
    )
    enable_totp: EnableTotpPayload | None = strawberry.mutation(
        resolver=enable_totp,
        description=with_role_note(
            Role.VIEWER, "Start to set up a second factor; confirmTotp enables it.", session=True
        ),
    )
    confirm_totp: ConfirmTotpPayload | None = strawberry.mutation(
        resolver=confirm_totp,
        description=with_role_note(Role.VIEWER, "Enable the second factor.", session=True),
    )
    disable_totp: DisableTotpPayload | None = strawberry.mutation(
        resolver=disable_totp,
        description=with_role_note(Role.VIEWER, "Disable the second factor.", session=True),
    )
    invite_organiser: InviteOrganiserPayload | None = strawberry.mutation(
        resolver=invite_organiser,
        description=with_role_note(
            Role.OWNER,
            "Invite an organiser, who chooses a password with the invitation's token."
            " Another invitation before it is accepted makes the previous token void.",
            session=True,
        ),
    )
    accept_invitation: AcceptInvitationPayload | None = strawberry.mutation(
        resolver=accept_invitation,
        description="Choose a password with an invitation's token, which is valid once. Public.",
    )
    set_organiser_role: SetOrganiserRolePayload | None = strawberry.mutation(
        resolver=set_organiser_role,
        description=with_role_note(
            Role.OWNER, "Change an organiser's role. At least one OWNER must remain.", session=True
        ),
    )


append_repeat_behaviour(Mutation)
append_error_codes(Mutation)
