"""What an operator does now and then."""

from functools import partial

from persistence import upkeep
from persistence.upkeep import Drift
from resolvers.context import Services


async def drift(services: Services) -> list[Drift]:
    """Places that are counted otherwise than there are live teams; empty while all is well."""
    return await services.database.read(upkeep.drift)


async def prune(services: Services) -> int:
    """How many expired idempotency records were deleted. Safe to repeat."""
    return await services.database.run(partial(upkeep.forget_keys, now=services.clock()))
