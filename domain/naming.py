"""Names as GraphQL writes them."""


def camel_case(name: str) -> str:
    """The name of a Python field or of a column, `fee_amount`, as GraphQL has it: `feeAmount`."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
