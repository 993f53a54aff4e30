"""The rules of the form, served to the client from what the validator itself uses."""

from typing import Self

import strawberry

from domain.documents import FILE_RULES
from domain.documents import FileRule as FileRuleRecord
from domain.tournaments import TEXT_RULES, TournamentRules
from domain.tournaments import TextRule as TextRuleRecord
from schema.enums import DocumentFormat, DocumentKind, PlayerRole


@strawberry.type(description="What a text may look like.")
class TextRule:
    field: str = strawberry.field(description="The input field, e.g. teamName or player.name.")
    min_length: int = strawberry.field(
        description="Fewest characters, after trimming; letters and vowel signs of a name."
    )
    max_length: int = strawberry.field(
        description="Most characters, after trimming. In names a letter with its marks is one, as"
        " Intl.Segmenter counts."
    )
    pattern: str = strawberry.field(description="ECMAScript, to be used with flag u.")
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


@strawberry.type(description="What a file may look like.")
class FileRule:
    kind: DocumentKind = strawberry.field(description="The kind of document.")
    formats: list[DocumentFormat] = strawberry.field(description="What the content may be.")
    min_bytes: int = strawberry.field(description="Smallest size.")
    max_bytes: int = strawberry.field(description="Largest size.")
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


@strawberry.type(description="All that a registration form needs to know.")
class RegistrationRules:
    squad_min: int = strawberry.field(description="Fewest players of a squad.")
    squad_max: int = strawberry.field(description="Most players of a squad.")
    teams_per_church: int | None = strawberry.field(
        description="Most live teams of a church; null: any."
    )
    roles: list[PlayerRole] = strawberry.field(description="What a player's role may be.")
    text: list[TextRule] = strawberry.field(description="The rules of the text fields.")
    files: list[FileRule] = strawberry.field(description="The rules of the documents.")
    required_documents: list[DocumentKind] = strawberry.field(
        description="Documents without which no team is taken; empty: none."
    )
    consent_version: str | None = strawberry.field(
        description="What input.consentVersion must be; null: no consent is asked for."
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
