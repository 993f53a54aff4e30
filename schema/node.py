"""What every object with an identity is."""

from uuid import UUID

import strawberry
from strawberry import field

from domain.errors import IssueCode, NotFound
from domain.ids import read_id
from domain.issues import issue


@strawberry.interface(description="Anything with an id.")
class Node:
    id: strawberry.ID = field(description="Opaque and unique over all types.")


def parse_id(text: str, *path: str) -> UUID:
    """What the id at this path of the arguments was made of. Raises NotFound."""
    found = read_id(text)
    if found is None:
        raise NotFound(None, issue(path, IssueCode.ID_UNKNOWN))
    return found
