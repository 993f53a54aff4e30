"""The history of a team's decisions."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from domain.audit import AuditAction
from persistence.ids import new_id
from persistence.models import Decision
from persistence.records import LockedTeam
from persistence.repositories.base import Repository


class DecisionRepository(Repository):
    """The history of a team's decisions, which is erased with the team."""

    async def add(  # noqa: PLR0913 - one argument for each column
        self,
        team: LockedTeam,
        *,
        at: datetime,
        actor: str,
        action: AuditAction,
        reason: str | None,
        items: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        decision = Decision(
            id=new_id(),
            team_id=team.id,
            at=at,
            actor=actor,
            event=action.value,
            reason=reason,
            items=[dict(item) for item in items],
        )
        self._session.add(decision)
        await self._session.flush()
