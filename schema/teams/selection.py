"""What a client has selected below a field, so that no more is read."""

from collections.abc import Sequence
from typing import Any

from graphql import FieldNode, FragmentSpreadNode

from schema.context import Info


def selected_names(info: Info) -> frozenset[str]:
    """The names of all fields below this one, at any depth, whatever their conditions."""
    raw = info._raw_info  # noqa: SLF001 - Strawberry's own list visits a fragment at every spread
    names: set[str] = set()
    spread: set[str] = set()
    nodes = [one for node in raw.field_nodes for one in _below(node)]
    while nodes:
        node = nodes.pop()
        if isinstance(node, FragmentSpreadNode):
            name = node.name.value
            if name in spread:
                continue
            spread.add(name)
            node = raw.fragments[name]
        elif isinstance(node, FieldNode):
            names.add(node.name.value)
        nodes.extend(_below(node))
    return frozenset(names)


def _below(node: Any) -> Sequence[Any]:
    return node.selection_set.selections if node.selection_set else ()
