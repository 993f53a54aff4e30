"""Bulk decisions: the same decision about several teams, each in a transaction of its own."""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.auth.roles import Caller, Role, require_role
from domain.errors.base import DomainError
from domain.errors.exceptions import InvalidForm
from domain.errors.issues import INPUT, size_issues
from domain.teams.status import TeamAction
from persistence.records import TeamRecord
from resolvers.services import Services
from resolvers.teams.decisions import Decision, decide, normalize_decision

MAX_DECISIONS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkDecision:
    """A decision with one reason. `teams` are references (code or id) and expected versions."""

    action: TeamAction
    reason: str | None
    teams: Sequence[tuple[str, int]]

    def for_team(self, reference: str, version: int) -> Decision:
        return Decision(
            reference=reference, expected_version=version, action=self.action, reason=self.reason
        )


async def decide_bulk(
    services: Services, caller: Caller, bulk: BulkDecision
) -> list[TeamRecord | DomainError]:
    """Return each team after its decision, or the error that prevented it, in the same order.

    Raises Unauthenticated, Forbidden, InvalidForm, BadUserInput before any decision is made.
    """
    require_role(caller, Role.REVIEWER)
    _require_valid(bulk)
    results: list[TeamRecord | DomainError] = []
    for index, (reference, version) in enumerate(bulk.teams):
        team_path = (*INPUT, "teams", index, "teamId")
        decision = bulk.for_team(reference, version)
        try:
            results.append(await decide(services, caller, decision, team_path))
        except DomainError as error:
            results.append(error)
    return results


def _require_valid(bulk: BulkDecision) -> None:
    """Check the number of teams and the reason. Raises InvalidForm, BadUserInput."""
    issues = size_issues((*INPUT, "teams"), len(bulk.teams), minimum=1, maximum=MAX_DECISIONS)
    try:
        normalize_decision(bulk.for_team("", 0))
    except InvalidForm as error:
        issues += error.issues
    if issues:
        raise InvalidForm(issues)
