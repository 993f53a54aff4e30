"""What can be changed. The class at the end is the table of contents."""

from typing import Annotated

import strawberry
from strawberry import argument

from resolvers import registration
from schema.context import Info
from schema.documents import OpenUploadPayload, open_upload
from schema.inputs import RegisterTeamInput
from schema.objects import RegisterTeamPayload


async def register_team(
    info: Info,
    input: Annotated[RegisterTeamInput, argument(description="The form.")],
) -> RegisterTeamPayload | None:
    context = info.context
    registered = await registration.register_team(
        context.services,
        input.to_form(),
        key=registration.choose_key(context.idempotency_key, input.idempotency_key),
        request_id=context.request_id,
    )
    return RegisterTeamPayload.from_registered(registered)


@strawberry.type(description="What can be changed.")
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
