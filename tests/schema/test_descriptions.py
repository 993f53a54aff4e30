import re
from collections.abc import Iterator

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNonNull,
    GraphQLObjectType,
    build_schema,
    is_introspection_type,
    is_specified_scalar_type,
)

from domain.errors.codes import CATALOG, ErrorCode
from schema.error_docs import GENERAL_ERRORS, MUTATION_ERRORS, error_reference
from schema.sdl import print_sdl

SCHEMA = build_schema(print_sdl())
OWN_TYPES = [
    found
    for found in SCHEMA.type_map.values()
    if not is_introspection_type(found) and not is_specified_scalar_type(found)
]
MUTATIONS = SCHEMA.mutation_type.fields


def parts(found) -> Iterator[tuple[str, str | None]]:
    """Yield the schema coordinates of a type and its members, with their descriptions."""
    yield found.name, found.description
    if isinstance(found, GraphQLEnumType):
        for name, value in found.values.items():
            yield f"{found.name}.{name}", value.description
    if isinstance(found, GraphQLInputObjectType | GraphQLObjectType | GraphQLInterfaceType):
        for name, field in found.fields.items():
            yield f"{found.name}.{name}", field.description
            for argument, definition in getattr(field, "args", {}).items():
                yield f"{found.name}.{name}({argument}:)", definition.description


def test_everything_is_described():
    described = dict(part for found in OWN_TYPES for part in parts(found))

    assert [name for name, text in described.items() if not (text or "").strip()] == []
    assert {"Team.players", "Query.churches(first:)", "TeamStatus.PENDING"} <= described.keys()


def test_scalars_name_their_specification_where_there_is_one():
    scalars = {
        found.name: found.specified_by_url
        for found in OWN_TYPES
        if hasattr(found, "specified_by_url")
    }

    assert scalars == {
        "Date": "https://www.rfc-editor.org/rfc/rfc3339#section-5.6",
        "DateText": "https://www.rfc-editor.org/rfc/rfc3339#section-5.6",
        "DateTime": "https://www.rfc-editor.org/rfc/rfc3339",
        "EmailAddress": "https://html.spec.whatwg.org/multipage/input.html#valid-e-mail-address",
        "IssuePath": None,
        "JSON": "https://www.rfc-editor.org/rfc/rfc8259",
        "JerseyNumber": None,
        "PhoneNumber": None,
        "PlayerRoleInput": None,
    }


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_takes_one_input_and_may_be_null(name):
    field = MUTATIONS[name]
    own = name[0].upper() + name[1:]

    assert {argument: str(found.type) for argument, found in field.args.items()} == {
        "input": f"{own}Input!"
    }
    assert str(field.type) == f"{own}Payload"


@pytest.mark.parametrize("name", MUTATIONS)
def test_description_of_a_mutation_ends_with_its_codes(name):
    errors = MUTATION_ERRORS[name]
    codes = [error.code for error in errors]

    assert MUTATIONS[name].description.endswith(
        f" Codes: {', '.join(codes) or 'the general ones'}."
    )
    assert set(codes) <= set(ErrorCode)
    assert set(errors).isdisjoint(GENERAL_ERRORS)
    assert len(set(codes)) == len(codes)


def test_the_table_of_codes_has_every_mutation_once():
    assert sorted(MUTATION_ERRORS) == sorted(MUTATIONS)


def test_page_about_errors_names_the_mutations_of_each_code():
    sections = dict(
        re.findall(r"^### (\w+)\n(.*?)(?=^##)", error_reference(), re.MULTILINE | re.DOTALL)
    )

    for code, error in CATALOG.items():
        names = re.findall(r"^- Returned by: (.*)\.$", sections[code], re.MULTILINE)
        mutations = [f"`{name}`" for name, errors in MUTATION_ERRORS.items() if error in errors]
        if error in GENERAL_ERRORS:
            assert names == ["any operation"]
        else:
            assert names == ([", ".join(mutations)] if mutations else [])


def test_queries_take_no_input_but_the_dry_run():
    taking = [
        name
        for name, field in SCHEMA.query_type.fields.items()
        if any(
            isinstance(argument.type, GraphQLNonNull)
            and isinstance(argument.type.of_type, GraphQLInputObjectType)
            for argument in field.args.values()
        )
    ]

    assert taking == ["validateTeam"]
