"""Many decisions at once, each for itself: one that is refused keeps no other back."""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.auth.roles import Caller, Role, require_role
from domain.errors.exceptions import DomainError, InvalidForm
from domain.errors.issues import INPUT, size_issues
from domain.teams.status import TeamAction
from persistence.records import TeamRecord
from resolvers.services import Services
from resolvers.teams.decisions import Decision
from resolvers.teams.review import decide, read_texts

DECISIONS_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """One decision, with one reason, about teams as the organiser saw them: code or id, version."""

    event: TeamAction
    reason: str | None
    teams: Sequence[tuple[str, int]]

    def about(self, reference: str, version: int) -> Decision:
        return Decision(
            reference=reference, expected_version=version, event=self.event, reason=self.reason
        )


async def decide_each(
    services: Services, caller: Caller, wanted: Decisions
) -> list[TeamRecord | DomainError]:
    """The team after each decision, or its refusal, in the same order.

    Raises Unauthenticated, Forbidden, InvalidForm, BadUserInput: then nothing was decided.
    """
    require_role(caller, Role.REVIEWER)
    _require_right(wanted)
    outcomes: list[TeamRecord | DomainError] = []
    for number, (reference, version) in enumerate(wanted.teams):
        place = (*INPUT, "teams", number, "teamId")
        decision = wanted.about(reference, version)
        try:
            outcomes.append(await decide(services, caller, decision, place))
        except DomainError as refusal:
            outcomes.append(refusal)
    return outcomes


def _require_right(wanted: Decisions) -> None:
    """Raises InvalidForm for the number of teams and the reason together, BadUserInput."""
    issues = size_issues((*INPUT, "teams"), len(wanted.teams), least=1, most=DECISIONS_MAX)
    try:
        read_texts(wanted.about("", 0))
    except InvalidForm as refusal:
        issues += refusal.issues
    if issues:
        raise InvalidForm(issues)
