"""What many objects of one answer need alike is read once for all of them."""

from functools import cached_property, partial
from uuid import UUID

from strawberry.dataloader import DataLoader

from persistence.repositories.audit import AuditRecord
from persistence.repositories.team_stats import DuplicatePlayer
from resolvers.services import Services
from resolvers.teams import queries


class Loaders:
    """New for each request; all keys are ids of teams.

    What was read is not kept: a mutation later in the document may have changed it.
    """

    def __init__(self, services: Services) -> None:
        self._services = services

    @cached_property
    def histories(self) -> DataLoader[UUID, list[AuditRecord]]:
        return DataLoader(load_fn=partial(queries.team_histories, self._services), cache=False)

    @cached_property
    def same_players(self) -> DataLoader[UUID, list[DuplicatePlayer]]:
        return DataLoader(load_fn=partial(queries.possible_duplicates, self._services), cache=False)
