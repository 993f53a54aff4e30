"""The settings reference and `.env.example`, generated from the declarations of settings."""

import ast
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby, pairwise
from textwrap import wrap
from typing import Any

from pydantic.fields import FieldInfo

from config.base import CheckedSettings
from config.fields import ENVIRONMENTS

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
# Copy to .env and remove the "# " before the lines that you want to change. Development needs
# none of them.
# The same list as a page: docs/reference/settings.md
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """`default` is Markdown for people, `example` the default of development as in a `.env`."""

    group: str
    name: str
    default: str
    example: str
    unit: str
    description: str
    other_names: tuple[str, ...]


def settings_reference(settings: type[CheckedSettings], groups: Mapping[str, str]) -> str:
    """A Markdown page; `groups` maps the first field of each group to its heading."""
    lines = [REFERENCE_HEAD]
    for group, variables in groupby(
        _variables(settings, groups), key=lambda variable: variable.group
    ):
        lines += [
            f"## {group}\n",
            "| Variable | Default | Unit and range | What it does | Other names |",
            "| --- | --- | --- | --- | --- |",
            *map(_row, variables),
            "",
        ]
    return "\n".join(lines)


def env_example(settings: type[CheckedSettings], groups: Mapping[str, str]) -> str:
    """A `.env` with every variable commented out."""
    lines = [EXAMPLE_HEAD]
    for group, variables in groupby(
        _variables(settings, groups), key=lambda variable: variable.group
    ):
        lines.append(f"## {group}\n")
        for variable in variables:
            comment = f"{variable.description} [{variable.unit}]"
            lines += [f"# {line}" for line in wrap(comment, 96)]
            lines.append(f"# {variable.name}={variable.example}\n")
    return "\n".join(lines)


def _row(variable: Variable) -> str:
    other_names = ", ".join(f"`{name}`" for name in variable.other_names)
    cells = (
        f"`{variable.name}`",
        variable.default,
        variable.unit,
        variable.description,
        other_names,
    )
    return "| " + " | ".join(cells) + " |"


def _variables(settings: type[CheckedSettings], groups: Mapping[str, str]) -> Iterator[Variable]:
    schemas = settings.model_json_schema(by_alias=False)["properties"]
    field_descriptions = dict(descriptions(settings))
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
            description=field_descriptions[field],
            other_names=tuple(other_names),
        )


def descriptions(settings: type[CheckedSettings]) -> Iterator[tuple[str, str]]:
    """Fields with the docstrings below them, read from the source only when pages are generated."""
    (class_definition,) = ast.parse(inspect.getsource(settings)).body
    for pair in pairwise(getattr(class_definition, "body", ())):
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
    """The default, or each default with its environments."""
    environments: dict[str, list[str]] = {}
    for environment in ENVIRONMENTS:
        text = _text(_default_in(environment, info))
        environments.setdefault(f"`{text}`" if text else "not set", []).append(environment)
    if len(environments) == 1:
        return next(iter(environments))
    return "; ".join(f"{text} in {' and '.join(names)}" for text, names in environments.items())


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
