"""The readiness of a team for its confirmation."""

from typing import Self

import strawberry
from strawberry import field

from domain.auth.roles import Role, has_role
from domain.teams.codes import player_code
from domain.teams.readiness import Readiness as ReadinessRecord
from persistence.records import TeamRecord
from schema.context import Info
from schema.enums import BlockerActor, BlockerCode, Operation

MAX_PLAYERS_ELSEWHERE = 50


@strawberry.type(description="A reason why a team cannot be confirmed yet.")
class Blocker:
    code: BlockerCode = field(description="The code of the reason, for programs.")
    message: str = field(description="The reason in English, with the codes of players.")
    actor: BlockerActor = field(description="The person who has to act.")


@strawberry.type(
    description="A player with the same name and date of birth as a player of another live team.",
)
class PlayerElsewhere:
    player_code: str = field(description="This team's player, e.g. ICCT-001-P01.")
    other_player_code: str = field(description="The other team's player, e.g. ICCT-002-P07.")


async def _players_elsewhere(
    info: Info, root: strawberry.Parent["Readiness"]
) -> list[PlayerElsewhere]:
    if not has_role(info.context.caller, Role.REVIEWER):
        return []
    duplicates = await info.context.loaders.duplicate_players.load(root.record.id)
    return [
        PlayerElsewhere(
            player_code=player_code(root.record.code, duplicate.position),
            other_player_code=duplicate.other_code,
        )
        for duplicate in duplicates[:MAX_PLAYERS_ELSEWHERE]
    ]


@strawberry.type(
    description="Whether a team can be confirmed, and what is to be done next. If the registration"
    " is replayed after the manageToken was replaced, blockers is empty and nextOperation null."
)
class Readiness:
    is_ready: bool = field(description="True if and only if the team has no blockers.")
    blockers: list[Blocker] = field(description="Blockers of the team, then those of each player.")
    next_operation: Operation | None = field(
        description="The mutation that comes next, if there is one: reviewDocument,"
        " requestChanges, confirmTeam, resubmitMyTeam or reopenTeam."
    )
    players_elsewhere: list[PlayerElsewhere] = field(
        resolver=_players_elsewhere,
        description="Players who are probably in another live team too, the first 50. They do not"
        " block the confirmation. Empty for callers below the role REVIEWER, since"
        " dates of birth are compared.",
    )
    record: strawberry.Private[TeamRecord]

    @classmethod
    def from_readiness(cls, readiness: ReadinessRecord, record: TeamRecord) -> Self:
        return cls(
            is_ready=readiness.is_ready,
            blockers=[
                Blocker(code=blocker.code, message=blocker.message, actor=blocker.actor)
                for blocker in readiness.blockers
            ],
            next_operation=readiness.next_operation,
            record=record,
        )
