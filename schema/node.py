"""What every object with an identity is."""

from uuid import UUID

import strawberry
from strawberry import field

from domain.errors.exceptions import IssueCode, NotFound
from domain.errors.issues import issue
from domain.ids import read_id


@strawberry.interface(description="Anything with an id.")
class Node:
    id: strawberry.ID = field(description="Opaque and unique over all types.")


def parse_id(text: str, *path: str) -> UUID:
    """What the id at this path of the arguments was made of. Raises NotFound."""
    found = read_id(text)
    if found is None:
        raise NotFound(None, issue(path, IssueCode.ID_UNKNOWN))
    return found
