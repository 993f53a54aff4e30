"""What every object with an identity is."""

from uuid import UUID

import strawberry
from strawberry import field

from domain.errors import NotFound
from domain.ids import read_id


@strawberry.interface(description="Anything with an id.")
class Node:
    id: strawberry.ID = field(description="Opaque and unique over all types.")


def parse_id(text: str) -> UUID:
    """What `id` was made of. Raises NotFound."""
    found = read_id(text)
    if found is None:
        raise NotFound
    return found
