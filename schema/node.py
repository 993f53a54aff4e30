"""What every object with an identity is."""

import strawberry
from strawberry import field


@strawberry.interface(description="Anything with an id.")
class Node:
    id: strawberry.ID = field(description="Opaque and unique over all types.")
