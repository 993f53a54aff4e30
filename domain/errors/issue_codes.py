"""Codes of issues, each with its message and documentation."""

from enum import StrEnum
from typing import Self


class IssueCode(StrEnum):
    """Issue codes with everything that is known about each.

    A member is declared by its value, the message to the person who fills in the form, the meaning
    and the cause of the code, and advice to the author of a client. `{name}` in a message stands
    for a param of the issue.
    """

    message: str
    description: str
    cause: str
    action: str

    def __new__(cls, code: str, message: str, description: str, cause: str, action: str) -> Self:
        member = str.__new__(cls, code)
        member._value_ = code
        member.message = message
        member.description = description
        member.cause = cause
        member.action = action
        return member

    NAME_TOO_SHORT = (
        "NAME_TOO_SHORT",
        "Please write at least {min} characters.",
        "The name is too short.",
        (
            "It has fewer characters than params.min. Letters and vowel signs count, other marks"
            " do not."
        ),
        "Ask for the whole name.",
    )
    NAME_TOO_LONG = (
        "NAME_TOO_LONG",
        "Please write at most {max} characters.",
        "The name, or another text, is too long.",
        "It has more characters than params.max. A letter with its marks counts as one.",
        "Ask for a shorter form.",
    )
    NAME_CHARACTERS = (
        "NAME_CHARACTERS",
        "Please write the name with at least two letters.",
        "The name has characters that are not allowed, or fewer than two letters.",
        (
            "params.characters lists characters that are not allowed, at most five. A name has at"
            " least two letters. Allowed are letters and marks of any script, spaces, . ' ’ - ( ) ,"
            " and /; in team and church names also digits and &. A mark follows its letter, at most"
            " six in a row."
        ),
        "Ask to leave the characters out, or to write the name in letters.",
    )
    PHONE_INVALID = (
        "PHONE_INVALID",
        "Please enter a valid phone number. Start a number from abroad with +.",
        "The phone number is not valid.",
        "It cannot be a number of its region.",
        "Ask for the number. A number from abroad starts with + and the country code.",
    )
    EMAIL_INVALID = (
        "EMAIL_INVALID",
        "Please enter a valid e-mail address, such as captain@church.example.",
        "The e-mail address is not valid.",
        "It breaks the syntax of addresses or is longer than 254 characters.",
        "Ask for the address.",
    )
    ROLE_UNKNOWN = (
        "ROLE_UNKNOWN",
        "Please choose one of the roles in the list.",
        "The role does not exist.",
        "It is not one of registrationRules.roles.",
        "Offer the roles to choose from.",
    )
    DATE_INVALID = (
        "DATE_INVALID",
        "Please enter the date of birth as year-month-day, such as 2008-02-29.",
        "The date of birth is not valid.",
        (
            "It is not a real day written as YYYY-MM-DD, is in the future, or is more than 100"
            " years ago."
        ),
        "Ask for the date.",
    )
    DATE_TIME_INVALID = (
        "DATE_TIME_INVALID",
        (
            "Please enter date, time and offset, such as 2026-11-23T09:30:00+05:30, in the years"
            " 1900 to 2200."
        ),
        "The date and time are not valid.",
        "It is not an RFC 3339 date and time with an offset, or is outside the years 1900 to 2200.",
        "Send it with its offset; Z means UTC.",
    )
    JERSEY_INVALID = (
        "JERSEY_INVALID",
        "Please enter a whole number from 0 to 999.",
        "The jersey number is not valid.",
        "It is not a whole number from 0 to 999.",
        "Ask for another number.",
    )
    JERSEY_TAKEN = (
        "JERSEY_TAKEN",
        "Another player of the team has this number. Please choose another number.",
        "Another player of the team has this jersey number.",
        "Numbers are unique in a team.",
        "Ask for another number.",
    )
    IDENTITY_NUMBER_NOT_ALLOWED = (
        "IDENTITY_NUMBER_NOT_ALLOWED",
        "This looks like an Aadhaar number. Please remove it.",
        "This looks like an identity number, which must not be sent.",
        (
            "It holds twelve digits, unbroken, in groups of four or in halves, with the check"
            " digit of an Aadhaar number, and no word directly before them, such as UTR or phone,"
            " shows that they are another number. In groups of four no word helps."
        ),
        "Ask to remove the number, or to write it unbroken with UTR before it.",
    )
    SQUAD_TOO_SMALL = (
        "SQUAD_TOO_SMALL",
        "A squad has {min} to {max} players; you entered {actual}. Please add players.",
        "The squad is too small.",
        "It has params.actual players; params.min are required.",
        "Ask for more players.",
    )
    SQUAD_TOO_LARGE = (
        "SQUAD_TOO_LARGE",
        "A squad has {min} to {max} players; you entered {actual}. Please remove players.",
        "The squad is too large.",
        "It has params.actual players; params.max are allowed.",
        "Ask to remove players.",
    )
    SAME_PERSON_TWICE = (
        "SAME_PERSON_TWICE",
        (
            "Captain and vice-captain must be two people, each with their own name and phone."
            " Please change one of them."
        ),
        "Captain and vice-captain must be two people.",
        "They have the same phone, or the same name and e-mail address.",
        "Ask for another person, or for the person's own number.",
    )
    DUPLICATE_PLAYER = (
        "DUPLICATE_PLAYER",
        "Another player has the same name. Please enter both dates of birth, or remove a player.",
        "Two players of the team have the same name.",
        "Only different dates of birth tell them apart.",
        "Ask for both dates of birth, or to remove a player.",
    )
    DUPLICATE_TEAM_NAME = (
        "DUPLICATE_TEAM_NAME",
        "The church already has a team with this name. Please choose another name.",
        "The church already has a team with this name.",
        "A live team of the church has it.",
        "Ask for another name, or whether the team is already registered.",
    )
    DUPLICATE_CAPTAIN_EMAIL = (
        "DUPLICATE_CAPTAIN_EMAIL",
        (
            "A team is already registered with this e-mail. Please enter another, or ask whether"
            " your team is registered."
        ),
        "A team is already registered with this captain's e-mail.",
        "A live team has it.",
        "Ask whether the team is already registered.",
    )
    DUPLICATE_CAPTAIN_PHONE = (
        "DUPLICATE_CAPTAIN_PHONE",
        (
            "A team is already registered with this phone. Please enter another, or ask whether"
            " your team is registered."
        ),
        "A team is already registered with this captain's phone.",
        "A live team has it.",
        "Ask whether the team is already registered.",
    )
    MISSING_DOCUMENT = (
        "MISSING_DOCUMENT",
        "Please add the missing documents: {kinds}.",
        "A required document is missing.",
        "params.kinds names the kinds, and params.playerCode the player of a registered team.",
        "Ask for the documents.",
    )
    DOCUMENT_UNKNOWN = (
        "DOCUMENT_UNKNOWN",
        "We do not have this file any more. Please upload it again.",
        "The uploaded document does not exist.",
        "The id names no upload, or an upload that has expired.",
        "Upload the file again.",
    )
    DOCUMENT_ALREADY_USED = (
        "DOCUMENT_ALREADY_USED",
        "This file is already used elsewhere. Please upload it again.",
        "The document is used elsewhere in the form, or by another team.",
        "An upload can be used once.",
        "Upload the file again.",
    )
    DOCUMENT_WRONG_KIND = (
        "DOCUMENT_WRONG_KIND",
        "This file does not belong here. Please choose another file.",
        "The document does not have the right kind.",
        (
            "Its upload has another kind, the kind does not belong to a team or to a player, or"
            " the kind is in the list twice."
        ),
        "Move it to the right field, or upload it again.",
    )
    CONSENT_REQUIRED = (
        "CONSENT_REQUIRED",
        "Please read the current consent text and agree to it.",
        "Agreement to the current consent text is required.",
        "consentVersion is not registrationRules.consentVersion.",
        "Show the text and ask for consent.",
    )
    TEXT_REQUIRED = (
        "TEXT_REQUIRED",
        "Please fill this in.",
        "A text is missing.",
        "It is empty, or has only invisible characters.",
        "Ask for it.",
    )
    TEXT_CHARACTERS = (
        "TEXT_CHARACTERS",
        "Please write this in one line, with visible characters only.",
        "The text has characters that cannot be stored.",
        "A text is one line without control characters, with at most six marks in a row.",
        "Ask to type it again.",
    )
    VALUE_REQUIRED = (
        "VALUE_REQUIRED",
        "This cannot be empty. Please enter a value.",
        "A value is missing.",
        "The field is missing or null, but must have a value.",
        "Ask for it, or leave the field out.",
    )
    NUMBER_OUT_OF_RANGE = (
        "NUMBER_OUT_OF_RANGE",
        "Please enter a whole number from {min} to {max}.",
        "The number is too small or too large.",
        "It is below params.min or above params.max.",
        "Ask for another number.",
    )
    ORDER_REVERSED = (
        "ORDER_REVERSED",
        "The end is before the beginning. Please change one of them.",
        "The end is before the beginning.",
        "The largest squad is below the smallest, or registration closes before it opens.",
        "Ask for either of the two.",
    )
    TIME_ZONE_UNKNOWN = (
        "TIME_ZONE_UNKNOWN",
        "Please enter an IANA time zone, such as Asia/Kolkata.",
        "The time zone does not exist.",
        "The database knows no IANA time zone with this name.",
        "Offer time zones to choose from.",
    )
    CURRENCY_INVALID = (
        "CURRENCY_INVALID",
        "Please enter the currency in three capital letters, such as INR.",
        "The currency is not valid.",
        "It is not three capital letters, as in ISO 4217.",
        "Ask for the code of the currency.",
    )
    UPI_ID_INVALID = (
        "UPI_ID_INVALID",
        "Please enter a UPI id, such as payee@bank.",
        "The UPI id is not valid.",
        "It does not have the form payee@bank.",
        "Ask for the UPI id.",
    )
    PLAYER_UNKNOWN = (
        "PLAYER_UNKNOWN",
        "Please enter the code of another player of this team.",
        "The team has no such player, or the code is in the list twice.",
        "playerCode is not the code of a player of the team, or repeats an earlier entry.",
        "Read the team again and use its codes.",
    )
    FILE_NAME_INVALID = (
        "FILE_NAME_INVALID",
        "Please give the file a name of {min} to {max} characters.",
        "The file name is not valid.",
        "It is empty, a folder, or longer than params.max characters.",
        "Send the name of the chosen file.",
    )
    HASH_INVALID = (
        "HASH_INVALID",
        "The file's sha256 must be 64 hexadecimal digits. Please choose the file again.",
        "The SHA-256 hash is not valid.",
        "It is not 64 hexadecimal digits.",
        "Compute the hash of exactly the bytes that will be sent.",
    )
    PASSWORD_LENGTH = (
        "PASSWORD_LENGTH",
        "A password has {min} to {max} characters. Please choose another password.",
        "The password is too short or too long.",
        "It has fewer characters than params.min or more than params.max.",
        "Ask for another password.",
    )
    PASSWORD_COMMON = (
        "PASSWORD_COMMON",
        "This password is easy to guess. Please choose another password.",
        "The password is easy to guess.",
        "It is on a list of common passwords, or repeats one character.",
        "Ask for another password.",
    )
    PASSWORD_IS_EMAIL = (
        "PASSWORD_IS_EMAIL",
        "The e-mail address cannot be the password. Please choose another password.",
        "The password is the e-mail address.",
        "They differ at most in capital letters.",
        "Ask for another password.",
    )
    LIST_TOO_SHORT = (
        "LIST_TOO_SHORT",
        "Please enter at least {min}; you entered {actual}.",
        "The list has too few entries.",
        "It has params.actual entries; params.min are required.",
        "Ask for more.",
    )
    LIST_TOO_LONG = (
        "LIST_TOO_LONG",
        "Please enter at most {max} at once; you entered {actual}.",
        "The list has too many entries.",
        "It has params.actual entries; params.max are allowed.",
        "Send the rest in another request.",
    )
    VALUE_INVALID = (
        "VALUE_INVALID",
        "Please enter a value of the type that the schema requires here.",
        "The value does not have its type.",
        "It has another type, or a field that its type does not have.",
        "Correct the client to match the schema.",
    )
    VALUE_NOT_ALLOWED = (
        "VALUE_NOT_ALLOWED",
        "Please choose one of these: {allowed}.",
        "This value is not allowed here.",
        "params.allowed lists the values that are allowed.",
        "Send one of them.",
    )
    CHOOSE_ONE = (
        "CHOOSE_ONE",
        "Please give one of these and no more: {names}.",
        "Exactly one of several values, or at most one, may be given.",
        "None of params.names has a value, or more than one has.",
        "Send one of them.",
    )
    CURSOR_INVALID = (
        "CURSOR_INVALID",
        "Please use a cursor that this list returned.",
        "The cursor does not belong to this list.",
        "It is cut off, or comes from another list.",
        "Start without a cursor, or send a cursor that this list returned.",
    )
    ID_UNKNOWN = (
        "ID_UNKNOWN",
        "We cannot find anything with this id. Please choose another.",
        "Nothing has this id.",
        "The object does not exist, or was deleted.",
        "Read the list again and use its ids.",
    )
    SAME_CHURCH = (
        "SAME_CHURCH",
        "This is the same church twice. Please choose another church.",
        "Two different churches are required.",
        "Both ids name the same church.",
        "Ask for another church.",
    )
    SEASONS_DIFFER = (
        "SEASONS_DIFFER",
        "The churches belong to different seasons. Please choose another church.",
        "The churches belong to different seasons.",
        "Each church belongs to one season.",
        "Choose two churches of one season.",
    )
    ORGANISER_EXISTS = (
        "ORGANISER_EXISTS",
        "Please enter another e-mail address. There is an organiser with this e-mail already.",
        "An organiser already has this e-mail.",
        "An organiser can sign in with it.",
        "Ask for another address, or change the role of the existing organiser.",
    )
    SECOND_FACTOR_ON = (
        "SECOND_FACTOR_ON",
        "The second factor is already on. Please disable it first.",
        "The second factor is already on.",
        "A code of it was confirmed before.",
        "Disable it first.",
    )
    IDEMPOTENCY_KEY_INVALID = (
        "IDEMPOTENCY_KEY_INVALID",
        "An idempotency key has {min} to {max} printable ASCII characters. Please make a new key.",
        "The idempotency key is not valid.",
        "It does not have params.min to params.max printable ASCII characters.",
        "Make a key, such as a UUID.",
    )
    IDEMPOTENCY_KEYS_DIFFER = (
        "IDEMPOTENCY_KEYS_DIFFER",
        "The Idempotency-Key header has another key. Please send one key.",
        "The form and the header have different idempotency keys.",
        "input.idempotencyKey differs from the header Idempotency-Key.",
        "Send one key.",
    )
