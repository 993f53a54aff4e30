"""What stands between a team and its confirmation."""

from typing import Self

import strawberry
from strawberry import field

from domain.readiness import Readiness as ReadinessRecord
from schema.enums import BlockerActor, BlockerCode


@strawberry.type(description="One thing that has to be done before a team can be confirmed.")
class Blocker:
    code: BlockerCode = field(description="What it is, for programs.")
    message: str = field(description="What it is, in English, with the codes of players.")
    actor: BlockerActor = field(description="Who has to do something about it.")


@strawberry.type(description="Whether a team can be confirmed, and what comes next.")
class Readiness:
    is_ready: bool = field(description="True if and only if there are no blockers.")
    blockers: list[Blocker] = field(description="The team's first, then each player's.")
    next_operation: str | None = field(description="The mutation that comes next, if there is one.")

    @classmethod
    def from_readiness(cls, record: ReadinessRecord) -> Self:
        return cls(
            is_ready=record.is_ready,
            blockers=[
                Blocker(code=one.code, message=one.message, actor=one.actor)
                for one in record.blockers
            ],
            next_operation=record.next_operation,
        )
