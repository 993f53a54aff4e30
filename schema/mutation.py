"""What can be changed. The class at the end is the table of contents."""

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
from schema.captain import (
    ResubmitMyTeamPayload,
    UpdateMyTeamPayload,
    WithdrawMyTeamPayload,
    resubmit_my_team,
    update_my_team,
    withdraw_my_team,
)
from schema.context import Info
from schema.documents import OpenUploadPayload, open_upload
from schema.error_docs import append_error_codes
from schema.exports import ExportTeamsPayload, export_teams
from schema.idempotency import append_repeat_behaviour
from schema.operations.health import ResetBreakerPayload, reset_breaker
from schema.permissions import with_role_note
from schema.registration.inputs import RegisterTeamInput
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
from schema.teams.types import RegisterTeamPayload
from schema.tournaments.admin import (
    EraseTeamPayload,
    MergeChurchesPayload,
    UpdateTournamentPayload,
    erase_team,
    merge_churches,
    update_tournament,
)


async def register_team(
    info: Info,
    input: Annotated[RegisterTeamInput, argument(description="The form.")],
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
    description="What can be changed. Each mutation names the codes of errors that it may answer"
    " beside those that any operation may, which the reference of errors lists."
)
class Mutation:
    open_upload: OpenUploadPayload | None = strawberry.mutation(
        resolver=open_upload,
        description="Ask for a place to send a file to. Its documentId goes into the form. Public;"
        " counted as an upload, not as a mutation.",
    )
    register_team: RegisterTeamPayload | None = strawberry.mutation(
        resolver=register_team,
        description="Enter a team. All problems of the form come back at once. Safe to repeat with"
        " the same idempotency key. Public.",
    )
    reset_breaker: ResetBreakerPayload | None = strawberry.mutation(
        resolver=reset_breaker,
        description="Let calls to an outside service through again before its time. Of the server"
        " that answers; others try by themselves. Needs the role REVIEWER.",
    )
    update_my_team: UpdateMyTeamPayload | None = strawberry.mutation(
        resolver=update_my_team,
        description="Change what the team registered with, while it is pending and registration is"
        " open, or while changes are requested. Accepted documents stay. Needs the manageToken.",
    )
    resubmit_my_team: ResubmitMyTeamPayload | None = strawberry.mutation(
        resolver=resubmit_my_team,
        description="Hand the team in again after changes were requested, with new documents in the"
        " place of rejected ones. Needs the manageToken.",
    )
    withdraw_my_team: WithdrawMyTeamPayload | None = strawberry.mutation(
        resolver=withdraw_my_team,
        description="Give up the team's place. Needs the manageToken.",
    )
    review_document: ReviewDocumentPayload | None = strawberry.mutation(
        resolver=review_document,
        description=with_role_note(
            Role.REVIEWER, "Accept or reject a document of a team not yet decided."
        ),
    )
    confirm_team: ConfirmTeamPayload | None = strawberry.mutation(
        resolver=confirm_team,
        description=with_role_note(
            Role.REVIEWER, "Let a pending team play. Without blockers, or with a reason."
        ),
    )
    reject_team: RejectTeamPayload | None = strawberry.mutation(
        resolver=reject_team,
        description=with_role_note(
            Role.REVIEWER, "Refuse a team that is not confirmed; frees its place."
        ),
    )
    request_changes: RequestChangesPayload | None = strawberry.mutation(
        resolver=request_changes,
        description=with_role_note(
            Role.REVIEWER, "Ask the captain of a pending team for corrections."
        ),
    )
    reopen_team: ReopenTeamPayload | None = strawberry.mutation(
        resolver=reopen_team,
        description=with_role_note(
            Role.REVIEWER,
            "Make a confirmed team pending again, or a rejected one while places remain.",
        ),
    )
    withdraw_team: WithdrawTeamPayload | None = strawberry.mutation(
        resolver=withdraw_team,
        description=with_role_note(Role.REVIEWER, "Take a live team out; frees its place."),
    )
    confirm_teams: ConfirmTeamsPayload | None = strawberry.mutation(
        resolver=confirm_teams,
        description=with_role_note(Role.REVIEWER, "confirmTeam for up to 100 teams."),
    )
    reject_teams: RejectTeamsPayload | None = strawberry.mutation(
        resolver=reject_teams,
        description=with_role_note(Role.REVIEWER, "rejectTeam for up to 100 teams."),
    )
    update_team: UpdateTeamPayload | None = strawberry.mutation(
        resolver=update_team,
        description=with_role_note(
            Role.REVIEWER, "Correct names, church and contacts of a live team."
        ),
    )
    update_player: UpdatePlayerPayload | None = strawberry.mutation(
        resolver=update_player,
        description=with_role_note(Role.REVIEWER, "Correct a player of a live team."),
    )
    add_player: AddPlayerPayload | None = strawberry.mutation(
        resolver=add_player,
        description=with_role_note(Role.REVIEWER, "Take somebody into the squad of a live team."),
    )
    remove_player: RemovePlayerPayload | None = strawberry.mutation(
        resolver=remove_player,
        description=with_role_note(
            Role.REVIEWER, "Take somebody out of the squad of a live team, with their documents."
        ),
    )
    reissue_manage_token: ReissueManageTokenPayload | None = strawberry.mutation(
        resolver=reissue_manage_token,
        description=with_role_note(
            Role.REVIEWER, "Make a new secret for a captain; the old one is void."
        ),
    )
    update_tournament: UpdateTournamentPayload | None = strawberry.mutation(
        resolver=update_tournament,
        description=with_role_note(
            Role.OWNER, "Change window, capacity, limits, fee and documents."
        ),
    )
    merge_churches: MergeChurchesPayload | None = strawberry.mutation(
        resolver=merge_churches,
        description=with_role_note(
            Role.OWNER, "Make one of two churches. Its names are aliases from then on."
        ),
    )
    erase_team: EraseTeamPayload | None = strawberry.mutation(
        resolver=erase_team,
        description=with_role_note(
            Role.OWNER,
            "Delete a team with all that is known of its people, files too; the audit log stays,"
            " which names nobody. It cannot be undone.",
        ),
    )
    export_teams: ExportTeamsPayload | None = strawberry.mutation(
        resolver=export_teams,
        description=with_role_note(
            Role.VIEWER, "Make a link to a file of teams and players. VIEWERs get no contacts."
        ),
    )
    sign_in: SignInPayload | None = strawberry.mutation(
        resolver=sign_in,
        description="Sign in as an organiser. After 10 failures within 15 minutes a client waits,"
        " after 100 the account, but not for a client that signed in to it before. Public.",
    )
    sign_out: SignOutPayload | None = strawberry.mutation(
        resolver=sign_out,
        description="End the session, and take the cookie away. Public: nobody may sign out too.",
    )
    revoke_session: RevokeSessionPayload | None = strawberry.mutation(
        resolver=revoke_session,
        description=with_role_note(
            Role.VIEWER, "End a session of one's own; as OWNER anybody's.", session=True
        ),
    )
    create_api_token: CreateApiTokenPayload | None = strawberry.mutation(
        resolver=create_api_token,
        description=with_role_note(Role.VIEWER, "Let a script act for the caller.", session=True),
    )
    revoke_api_token: RevokeApiTokenPayload | None = strawberry.mutation(
        resolver=revoke_api_token,
        description=with_role_note(
            Role.VIEWER, "End an API token of one's own; as OWNER anybody's.", session=True
        ),
    )
    enable_totp: EnableTotpPayload | None = strawberry.mutation(
        resolver=enable_totp,
        description=with_role_note(
            Role.VIEWER, "Begin with a second factor; confirmTotp turns it on.", session=True
        ),
    )
    confirm_totp: ConfirmTotpPayload | None = strawberry.mutation(
        resolver=confirm_totp,
        description=with_role_note(Role.VIEWER, "Turn the second factor on.", session=True),
    )
    disable_totp: DisableTotpPayload | None = strawberry.mutation(
        resolver=disable_totp,
        description=with_role_note(Role.VIEWER, "Turn the second factor off.", session=True),
    )
    invite_organiser: InviteOrganiserPayload | None = strawberry.mutation(
        resolver=invite_organiser,
        description=with_role_note(
            Role.OWNER,
            "Make an organiser, who chooses a password with the invitation's token. Whoever has"
            " not done so yet can be invited anew; the token before is void then.",
            session=True,
        ),
    )
    accept_invitation: AcceptInvitationPayload | None = strawberry.mutation(
        resolver=accept_invitation,
        description="Choose a password with an invitation's token, which is good once. Public.",
    )
    set_organiser_role: SetOrganiserRolePayload | None = strawberry.mutation(
        resolver=set_organiser_role,
        description=with_role_note(
            Role.OWNER, "Give an organiser another role. One OWNER always stays.", session=True
        ),
    )


append_repeat_behaviour(Mutation)
append_error_codes(Mutation)
