"""GraphQL names of Python fields and database columns."""


def camel_case(name: str) -> str:
    """Convert a name such as `fee_amount` to `feeAmount`."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
