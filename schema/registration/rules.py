"""The rules of the registration form, from the validator's own definitions."""

from typing import Self

import strawberry

from domain.documents import FILE_RULES
from domain.documents import FileRule as FileRuleRecord
from domain.tournaments import TEXT_RULES, TournamentRules
from domain.tournaments import TextRule as TextRuleRecord
from schema.enums import DocumentFormat, DocumentKind, PlayerRole


@strawberry.type(description="The rule of a text field.")
class TextRule:
    field: str = strawberry.field(description="The input field, e.g. teamName or player.name.")
    min_length: int = strawberry.field(
        description="The minimum length after trimming. In names only letters and vowel signs"
        " count."
    )
    max_length: int = strawberry.field(
        description="The maximum length after trimming. In names a letter with its marks counts as"
        " one character, as in Intl.Segmenter."
    )
    pattern: str = strawberry.field(description="An ECMAScript pattern, for use with the flag u.")
    description: str = strawberry.field(description="The rule in words.")

    @classmethod
    def from_rule(cls, rule: TextRuleRecord) -> Self:
        return cls(
            field=rule.field,
            min_length=rule.min_length,
            max_length=rule.max_length,
            pattern=rule.pattern,
            description=rule.description,
        )


@strawberry.type(description="The rule of a kind of document.")
class FileRule:
    kind: DocumentKind = strawberry.field(description="The kind of document.")
    formats: list[DocumentFormat] = strawberry.field(description="The accepted formats.")
    min_bytes: int = strawberry.field(description="The minimum size in bytes.")
    max_bytes: int = strawberry.field(description="The maximum size in bytes.")
    description: str = strawberry.field(description="The rule in words.")

    @classmethod
    def from_rule(cls, rule: FileRuleRecord) -> Self:
        return cls(
            kind=rule.kind,
            formats=list(rule.formats),
            min_bytes=rule.min_bytes,
            max_bytes=rule.max_bytes,
            description=rule.description,
        )


@strawberry.type(description="The rules of the registration form.")
class RegistrationRules:
    squad_min: int = strawberry.field(description="The minimum number of players.")
    squad_max: int = strawberry.field(description="The maximum number of players.")
    teams_per_church: int | None = strawberry.field(
        description="The maximum number of live teams of a church; null if unlimited."
    )
    roles: list[PlayerRole] = strawberry.field(description="The roles that a player may have.")
    text: list[TextRule] = strawberry.field(description="The rules of the text fields.")
    files: list[FileRule] = strawberry.field(description="The rules of the documents.")
    required_documents: list[DocumentKind] = strawberry.field(
        description="The documents that a registration must include."
    )
    consent_version: str | None = strawberry.field(
        description="The required value of input.consentVersion; null if no consent is required."
    )

    @classmethod
    def from_rules(cls, rules: TournamentRules) -> Self:
        return cls(
            squad_min=rules.squad_min,
            squad_max=rules.squad_max,
            teams_per_church=rules.teams_per_church,
            roles=list(PlayerRole),
            text=[TextRule.from_rule(rule) for rule in TEXT_RULES],
            files=[FileRule.from_rule(rule) for rule in FILE_RULES],
            required_documents=list(rules.required_documents),
            consent_version=rules.consent_version,
        )
