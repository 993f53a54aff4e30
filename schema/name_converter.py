"""Names of fields and arguments in the schema, for all that tells of them."""

from strawberry.schema.name_converter import NameConverter

from domain.naming import camel_case


class _Names(NameConverter):
    """Strawberry's, by the domain's conversion, which issues and the audit log follow too."""

    def apply_naming_config(self, name: str) -> str:
        return camel_case(name)


NAMES = _Names()
