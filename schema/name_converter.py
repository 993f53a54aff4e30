"""Names of fields and arguments in the schema."""

from strawberry.schema.name_converter import NameConverter

from domain.naming import camel_case


class _Names(NameConverter):
    """Converts names by `camel_case`, as paths of issues and names in the audit log are."""

    def apply_naming_config(self, name: str) -> str:
        return camel_case(name)


NAMES = _Names()
