"""The interface of objects with an id."""

from uuid import UUID

import strawberry
from strawberry import field

from domain.errors.exceptions import NotFound
from domain.errors.issue_codes import IssueCode
from domain.errors.issues import make_issue
from domain.ids import parse_uuid


@strawberry.interface(description="An object with an id.")
class Node:
    id: strawberry.ID = field(description="The object's id: opaque, unique over all types.")


def parse_id(text: str, *path: str) -> UUID:
    """Return the UUID of an object's id. Raises NotFound, at this path of the arguments."""
    identifier = parse_uuid(text)
    if identifier is None:
        raise NotFound(None, make_issue(path, IssueCode.ID_UNKNOWN))
    return identifier
