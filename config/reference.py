"""Pages about the environment variables of the service, made from their declarations."""

import ast
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby, pairwise
from textwrap import wrap
from typing import Any

from pydantic.fields import FieldInfo

from config.base import ENVIRONMENTS, CheckedSettings

REFERENCE_HEAD = """\
# Settings

Generated from `settings.py`: change the declarations there.

Settings come from environment variables and from a file `.env` in the working directory; the
environment wins. Names may be written in any case, an empty value is the same as none, and lists
are comma-separated text (`a, b`), JSON (`["a", "b"]`) or the word `none`. Variables that the
service does not know are ignored, but a name in `.env` that looks like a misspelt one is refused.

The service does not start with a wrong or unsafe value. It lists every problem at once, with the
name of the variable and never its value.
"""
EXAMPLE_HEAD = """\
# Copy to .env and remove the "# " before what you want to change. Development needs none of it.
# The same list as a page: docs/reference/settings.md
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """`default` is for people, `example` is the default of development as it is written."""

    group: str
    name: str
    default: str
    example: str
    unit: str
    description: str
    other_names: tuple[str, ...]


def settings_reference(settings: type[CheckedSettings], groups: Mapping[str, str]) -> str:
    """A Markdown page; `groups` gives the heading before a field."""
    lines = [REFERENCE_HEAD]
    for group, members in groupby(_variables(settings, groups), key=lambda one: one.group):
        lines += [
            f"## {group}\n",
            "| Variable | Default | Unit and range | What it does | Other names |",
            "| --- | --- | --- | --- | --- |",
            *map(_row, members),
            "",
        ]
    return "\n".join(lines)


def env_example(settings: type[CheckedSettings], groups: Mapping[str, str]) -> str:
    """A `.env` in which everything is commented out."""
    lines = [EXAMPLE_HEAD]
    for group, members in groupby(_variables(settings, groups), key=lambda one: one.group):
        lines.append(f"## {group}\n")
        for one in members:
            lines += [f"# {line}" for line in wrap(f"{one.description} [{one.unit}]", 96)]
            lines.append(f"# {one.name}={one.example}\n")
    return "\n".join(lines)


def _row(one: Variable) -> str:
    other_names = ", ".join(f"`{name}`" for name in one.other_names)
    cells = (f"`{one.name}`", one.default, one.unit, one.description, other_names)
    return "| " + " | ".join(cells) + " |"


def _variables(settings: type[CheckedSettings], groups: Mapping[str, str]) -> Iterator[Variable]:
    schemas = settings.model_json_schema(by_alias=False)["properties"]
    described = dict(descriptions(settings))
    group = ""
    for field, (name, *other_names) in settings.names().items():
        info = settings.model_fields[field]
        group = groups.get(field, group)
        yield Variable(
            group=group,
            name=name,
            default=_default(info),
            example=_text(_default_in("development", info)),
            unit=_unit(schemas[field]),
            description=described[field],
            other_names=tuple(other_names),
        )


def descriptions(settings: type[CheckedSettings]) -> Iterator[tuple[str, str]]:
    """The fields of the class itself and what is written below them: no start has to read that."""
    (written,) = ast.parse(inspect.getsource(settings)).body
    for pair in pairwise(getattr(written, "body", ())):
        match pair:
            case (
                ast.AnnAssign(target=ast.Name(id=field)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                yield field, inspect.cleandoc(text)


def _unit(schema: dict[str, Any]) -> str:
    schema = schema.get("anyOf", [schema])[0]
    unit = str(schema["unit"])
    if "minimum" not in schema:
        return unit
    return f"{unit}, {schema['minimum']} to {schema['maximum']}"


def _default(info: FieldInfo) -> str:
    """One text, or each with the environments it holds in."""
    places: dict[str, list[str]] = {}
    for environment in ENVIRONMENTS:
        text = _text(_default_in(environment, info))
        places.setdefault(f"`{text}`" if text else "not set", []).append(environment)
    if len(places) == 1:
        return next(iter(places))
    return "; ".join(f"{text} in {' and '.join(names)}" for text, names in places.items())


def _default_in(environment: str, info: FieldInfo) -> Any:
    return info.get_default(call_default_factory=True, validated_data={"environment": environment})


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    if isinstance(value, bool):
        return str(value).lower()
    if hasattr(value, "get_secret_value"):
        return str(value.get_secret_value())
    return "" if value is None else str(value)
