"""What stands between a team and its confirmation."""

from typing import Self

import strawberry
from strawberry import field

from domain.auth.roles import Role, may
from domain.teams.codes import player_code
from domain.teams.readiness import Readiness as ReadinessRecord
from persistence.records import TeamRecord
from schema.context import Info
from schema.enums import BlockerActor, BlockerCode, Operation

MAX_POSSIBLE_DUPLICATES = 50


@strawberry.type(description="One thing that has to be done before a team can be confirmed.")
class Blocker:
    code: BlockerCode = field(description="What it is, for programs.")
    message: str = field(description="What it is, in English, with the codes of players.")
    actor: BlockerActor = field(description="Who has to do something about it.")


@strawberry.type(
    name="PlayerElsewhere",
    description="A player whose name and date of birth are in another live team too.",
)
class PossibleDuplicate:
    player_code: str = field(description="The player of this team: ICCT-001-P01.")
    other_player_code: str = field(description="The player of the other one: ICCT-002-P07.")


async def _players_elsewhere(
    info: Info, root: strawberry.Parent["Readiness"]
) -> list[PossibleDuplicate]:
    if not may(info.context.caller, Role.REVIEWER):
        return []
    found = await info.context.loaders.same_players.load(root.record.id)
    return [
        PossibleDuplicate(
            player_code=player_code(root.record.code, one.position),
            other_player_code=one.other_code,
        )
        for one in found[:MAX_POSSIBLE_DUPLICATES]
    ]


@strawberry.type(
    description="Whether a team can be confirmed, and what comes next. A repeat of registerTeam"
    " after reissueManageToken is told isReady alone."
)
class Readiness:
    is_ready: bool = field(description="True if and only if there are no blockers.")
    blockers: list[Blocker] = field(description="The team's first, then each player's.")
    next_operation: Operation | None = field(
        description="The mutation that comes next, if there is one: reviewDocument,"
        " requestChanges, confirmTeam, resubmitMyTeam or reopenTeam."
    )
    players_elsewhere: list[PossibleDuplicate] = field(
        resolver=_players_elsewhere,
        description="Players who are in another live team too, the first 50. No blocker. Told to"
        " REVIEWERs only, since it compares dates of birth; others see none.",
    )
    record: strawberry.Private[TeamRecord]

    @classmethod
    def from_readiness(cls, readiness: ReadinessRecord, record: TeamRecord) -> Self:
        return cls(
            is_ready=readiness.is_ready,
            blockers=[
                Blocker(code=one.code, message=one.message, actor=one.actor)
                for one in readiness.blockers
            ],
            next_operation=readiness.next_operation,
            record=record,
        )
