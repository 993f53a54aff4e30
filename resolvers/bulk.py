"""Many decisions at once, each for itself: one that is refused keeps no other back."""

from collections.abc import Sequence

from domain.errors import BadUserInput, DomainError
from domain.roles import Caller, Role, require_role
from persistence.records import TeamRecord
from resolvers.context import Services
from resolvers.deciding import Decision
from resolvers.review import decide, read_texts

DECISIONS_MAX = 100


async def decide_each(
    services: Services, caller: Caller, wanted: Sequence[Decision]
) -> list[TeamRecord | DomainError]:
    """What became of each, in the same order.

    Raises Unauthenticated, Forbidden, InvalidForm, BadUserInput: then nothing was decided.
    """
    require_role(caller, Role.REVIEWER)
    if not 1 <= len(wanted) <= DECISIONS_MAX:
        raise BadUserInput(f"Name 1 to {DECISIONS_MAX} teams.")
    read_texts(wanted[0])
    outcomes: list[TeamRecord | DomainError] = []
    for decision in wanted:
        try:
            outcomes.append(await decide(services, caller, decision))
        except DomainError as refusal:
            outcomes.append(refusal)
    return outcomes
