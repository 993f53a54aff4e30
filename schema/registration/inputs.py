"""Input types of a registration, converted to the domain's forms."""

import strawberry
from strawberry import field

from domain.registration.forms import DocumentForm, PersonForm, PlayerForm, TeamForm
from domain.registration.names import PERSON_NAME, TEAM_OR_CHURCH_NAME
from schema.enums import DocumentKind
from schema.limits.text_rules import FORM_TEXT
from schema.registration.omitted_fields import WHEN_OMITTED
from schema.scalars import DateText, EmailAddress, JerseyNumber, PhoneNumber, PlayerRoleInput

# An omitted kind is read as one that the list refuses: it is reported with the other issues.
_REFUSED_FOR_TEAMS = {WHEN_OMITTED: DocumentKind.PHOTO.value}
_REFUSED_FOR_PLAYERS = {WHEN_OMITTED: DocumentKind.GROUP_PHOTO.value}


@strawberry.input(description="A captain or a vice-captain.")
class PersonInput:
    name: str = field(metadata=FORM_TEXT, description=PERSON_NAME.description)
    phone: PhoneNumber = field(description="The phone number, Indian unless it starts with +.")
    whatsapp: PhoneNumber | None = field(
        default=None, description="The WhatsApp number, if it is not the phone number."
    )
    email: EmailAddress = field(description="The e-mail address, at most 254 characters.")

    def to_form(self) -> PersonForm:
        return PersonForm(
            name=self.name, phone=self.phone, whatsapp=self.whatsapp, email=self.email
        )


@strawberry.input(description="An uploaded document of the team.")
class TeamDocumentInput:
    kind: DocumentKind = field(
        metadata=_REFUSED_FOR_TEAMS,
        description="PASTOR_LETTER, PAYMENT_RECEIPT or GROUP_PHOTO.",
    )
    document_id: strawberry.ID = field(
        metadata=FORM_TEXT, description="The documentId that openUpload returned."
    )

    def to_form(self) -> DocumentForm:
        return DocumentForm(kind=self.kind, document_id=self.document_id)


@strawberry.input(description="An uploaded document of a player.")
class PlayerDocumentInput:
    kind: DocumentKind = field(
        metadata=_REFUSED_FOR_PLAYERS,
        description="IDENTITY_PROOF, SUBSCRIPTION_CARD or PHOTO.",
    )
    document_id: strawberry.ID = field(
        metadata=FORM_TEXT, description="The documentId that openUpload returned."
    )

    def to_form(self) -> DocumentForm:
        return DocumentForm(kind=self.kind, document_id=self.document_id)


@strawberry.input(description="A member of the squad.")
class PlayerInput:
    name: str = field(metadata=FORM_TEXT, description=PERSON_NAME.description)
    role: PlayerRoleInput | None = field(default=None, description="The name of a PlayerRole.")
    jersey_number: JerseyNumber | None = field(
        default=None, description="A number from 0 to 999, unique in the team."
    )
    date_of_birth: DateText | None = field(
        default=None,
        description="The date of birth. Required only if two players have the same name.",
    )
    documents: list[PlayerDocumentInput] | None = field(
        default=None, description="At most one document of each kind."
    )

    def to_form(self) -> PlayerForm:
        return PlayerForm(
            name=self.name,
            role=self.role,
            jersey_number=self.jersey_number,
            date_of_birth=self.date_of_birth,
            documents=tuple(document.to_form() for document in self.documents)
            if self.documents
            else (),
        )


@strawberry.input(description="A team's registration form.")
class RegisterTeamInput:
    idempotency_key: str | None = field(
        default=None,
        description="8 to 255 printable ASCII characters: new for each form, the same for each"
        " repeat. The header Idempotency-Key has the same effect. Keys are kept for 24"
        " hours by default.",
    )
    team_name: str = field(metadata=FORM_TEXT, description=TEAM_OR_CHURCH_NAME.description)
    church_name: str = field(metadata=FORM_TEXT, description=TEAM_OR_CHURCH_NAME.description)
    captain: PersonInput = field(description="The person responsible for the team.")
    vice_captain: PersonInput = field(description="Another person, with another phone number.")
    players: list[PlayerInput] = field(
        description="The complete squad: 11 to 15 players unless registrationRules says otherwise."
    )
    documents: list[TeamDocumentInput] | None = field(
        default=None, description="The documents of the team that registrationRules requires."
    )
    consent_version: str | None = field(
        default=None,
        metadata=FORM_TEXT,
        description="The version of the consent text that the captain agreed to.",
    )
    locale: str | None = field(
        default=None,
        metadata=FORM_TEXT,
        description="The BCP 47 language tag of the form, at most 35 characters.",
    )

    def to_form(self) -> TeamForm:
        return TeamForm(
            team_name=self.team_name,
            church_name=self.church_name,
            captain=self.captain.to_form(),
            vice_captain=self.vice_captain.to_form(),
            players=tuple(player.to_form() for player in self.players),
            documents=tuple(document.to_form() for document in self.documents or ()),
            consent_version=self.consent_version,
            locale=self.locale,
        )
