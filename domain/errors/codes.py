"""The catalogue of errors: what each code means, why it comes and what a client does about it.

It is the source of the schema's enumerations, of the page about errors and of the JSON Schema.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Category(StrEnum):
    USER_INPUT = "USER_INPUT"
    AUTH = "AUTH"
    CONFLICT = "CONFLICT"
    LIMIT = "LIMIT"
    UPSTREAM = "UPSTREAM"
    INTERNAL = "INTERNAL"


class ErrorCode(StrEnum):
    VALIDATION_FAILED = "VALIDATION_FAILED"
    REGISTRATION_NOT_OPEN = "REGISTRATION_NOT_OPEN"
    REGISTRATION_CLOSED = "REGISTRATION_CLOSED"
    TOURNAMENT_FULL = "TOURNAMENT_FULL"
    CHURCH_LIMIT_REACHED = "CHURCH_LIMIT_REACHED"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    IDEMPOTENCY_IN_PROGRESS = "IDEMPOTENCY_IN_PROGRESS"
    INVALID_STATUS_TRANSITION = "INVALID_STATUS_TRANSITION"
    STALE_VERSION = "STALE_VERSION"
    TEAM_NOT_FOUND = "TEAM_NOT_FOUND"
    NOT_FOUND = "NOT_FOUND"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    BAD_USER_INPUT = "BAD_USER_INPUT"
    RATE_LIMITED = "RATE_LIMITED"
    QUERY_TOO_COMPLEX = "QUERY_TOO_COMPLEX"
    BODY_TOO_LARGE = "BODY_TOO_LARGE"
    UNSUPPORTED_MEDIA_TYPE = "UNSUPPORTED_MEDIA_TYPE"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    NOT_ACCEPTABLE = "NOT_ACCEPTABLE"
    REQUEST_TIMEOUT = "REQUEST_TIMEOUT"
    UPLOAD_EXPIRED = "UPLOAD_EXPIRED"
    UPLOAD_OFFSET_MISMATCH = "UPLOAD_OFFSET_MISMATCH"
    FILE_TOO_LARGE = "FILE_TOO_LARGE"
    FILE_EMPTY = "FILE_EMPTY"
    FILE_TYPE_NOT_ALLOWED = "FILE_TYPE_NOT_ALLOWED"
    FILE_CONTENT_MISMATCH = "FILE_CONTENT_MISMATCH"
    STORAGE_UNAVAILABLE = "STORAGE_UNAVAILABLE"
    MAIL_UNAVAILABLE = "MAIL_UNAVAILABLE"
    SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"
    INTERNAL = "INTERNAL"
    GRAPHQL_PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
    GRAPHQL_VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
    PERSISTED_QUERY_NOT_SUPPORTED = "PERSISTED_QUERY_NOT_SUPPORTED"
    PERSISTED_QUERY_NOT_FOUND = "PERSISTED_QUERY_NOT_FOUND"
    SIGN_IN_FAILED = "SIGN_IN_FAILED"


class IssueCode(StrEnum):
    NAME_TOO_SHORT = "NAME_TOO_SHORT"
    NAME_TOO_LONG = "NAME_TOO_LONG"
    NAME_CHARACTERS = "NAME_CHARACTERS"
    PHONE_INVALID = "PHONE_INVALID"
    EMAIL_INVALID = "EMAIL_INVALID"
    ROLE_UNKNOWN = "ROLE_UNKNOWN"
    DATE_INVALID = "DATE_INVALID"
    DATE_TIME_INVALID = "DATE_TIME_INVALID"
    JERSEY_INVALID = "JERSEY_INVALID"
    JERSEY_TAKEN = "JERSEY_TAKEN"
    IDENTITY_NUMBER_NOT_ALLOWED = "IDENTITY_NUMBER_NOT_ALLOWED"
    SQUAD_TOO_SMALL = "SQUAD_TOO_SMALL"
    SQUAD_TOO_LARGE = "SQUAD_TOO_LARGE"
    SAME_PERSON_TWICE = "SAME_PERSON_TWICE"
    DUPLICATE_PLAYER = "DUPLICATE_PLAYER"
    DUPLICATE_TEAM_NAME = "DUPLICATE_TEAM_NAME"
    DUPLICATE_CAPTAIN_EMAIL = "DUPLICATE_CAPTAIN_EMAIL"
    DUPLICATE_CAPTAIN_PHONE = "DUPLICATE_CAPTAIN_PHONE"
    MISSING_DOCUMENT = "MISSING_DOCUMENT"
    DOCUMENT_UNKNOWN = "DOCUMENT_UNKNOWN"
    DOCUMENT_ALREADY_USED = "DOCUMENT_ALREADY_USED"
    DOCUMENT_WRONG_KIND = "DOCUMENT_WRONG_KIND"
    CONSENT_REQUIRED = "CONSENT_REQUIRED"
    TEXT_REQUIRED = "TEXT_REQUIRED"
    TEXT_CHARACTERS = "TEXT_CHARACTERS"
    VALUE_REQUIRED = "VALUE_REQUIRED"
    NUMBER_OUT_OF_RANGE = "NUMBER_OUT_OF_RANGE"
    ORDER_REVERSED = "ORDER_REVERSED"
    TIME_ZONE_UNKNOWN = "TIME_ZONE_UNKNOWN"
    CURRENCY_INVALID = "CURRENCY_INVALID"
    UPI_ID_INVALID = "UPI_ID_INVALID"
    PLAYER_UNKNOWN = "PLAYER_UNKNOWN"
    FILE_NAME_INVALID = "FILE_NAME_INVALID"
    HASH_INVALID = "HASH_INVALID"
    PASSWORD_LENGTH = "PASSWORD_LENGTH"  # noqa: S105 - no password
    PASSWORD_COMMON = "PASSWORD_COMMON"  # noqa: S105 - no password
    PASSWORD_IS_EMAIL = "PASSWORD_IS_EMAIL"  # noqa: S105 - no password
    LIST_TOO_SHORT = "LIST_TOO_SHORT"
    LIST_TOO_LONG = "LIST_TOO_LONG"
    VALUE_INVALID = "VALUE_INVALID"
    VALUE_NOT_ALLOWED = "VALUE_NOT_ALLOWED"
    CHOOSE_ONE = "CHOOSE_ONE"
    CURSOR_INVALID = "CURSOR_INVALID"
    ID_UNKNOWN = "ID_UNKNOWN"
    SAME_CHURCH = "SAME_CHURCH"
    SEASONS_DIFFER = "SEASONS_DIFFER"
    ORGANISER_EXISTS = "ORGANISER_EXISTS"
    SECOND_FACTOR_ON = "SECOND_FACTOR_ON"
    IDEMPOTENCY_KEY_INVALID = "IDEMPOTENCY_KEY_INVALID"
    IDEMPOTENCY_KEYS_DIFFER = "IDEMPOTENCY_KEYS_DIFFER"


class DetailType(StrEnum):
    """Types of JSON, as JSON Schema names them, or of GraphQL; items of an array after `of`."""

    STRING = "string"
    DATE_TIME = "date-time"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    LIMIT = "name of a limit"
    PATH = "array of string or integer"
    BLOCKERS = "array of object"
    STATUS = "TeamStatus"
    OPERATION = "TeamOperation"
    OPERATIONS = "array of TeamOperation"
    FORMATS = "array of DocumentFormat"


@dataclass(frozen=True, slots=True, kw_only=True)
class DetailDefinition:
    """A key of `details`. Those that are not required are left out where they say nothing."""

    name: str
    type: DetailType
    is_required: bool
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorDefinition:
    """`http_status` is that of the plain HTTP routes; `action` is what the client does."""

    code: ErrorCode
    category: Category
    http_status: int
    retryable: bool
    description: str
    cause: str
    action: str
    details: tuple[DetailDefinition, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueDefinition:
    code: IssueCode
    description: str
    cause: str
    action: str


def _error_table() -> Mapping[ErrorCode, ErrorDefinition]:
    table, details = {}, _detail_table()
    for row in _ERRORS.strip().splitlines():
        code, category, status, retryable, description, cause, action = row.split(" | ")
        table[ErrorCode(code)] = ErrorDefinition(
            code=ErrorCode(code),
            category=Category(category),
            http_status=int(status),
            retryable=retryable == "retryable",
            description=description,
            cause=cause,
            action=action,
            details=tuple(details.get(ErrorCode(code), ())),
        )
    return table


def _detail_table() -> Mapping[ErrorCode, list[DetailDefinition]]:
    table: dict[ErrorCode, list[DetailDefinition]] = {}
    for row in _DETAILS.strip().splitlines():
        code, name, kind, presence, description = row.split(" | ")
        table.setdefault(ErrorCode(code), []).append(
            DetailDefinition(
                name=name,
                type=DetailType(kind),
                is_required=presence == "always",
                description=description,
            )
        )
    return table


def _issue_table() -> Mapping[IssueCode, IssueDefinition]:
    table = {}
    for row in _ISSUES.strip().splitlines():
        code, description, cause, action = row.split(" | ")
        table[IssueCode(code)] = IssueDefinition(
            code=IssueCode(code), description=description, cause=cause, action=action
        )
    return table


# code | category | HTTP status | retryable or final | meaning | cause | what the client does
_ERRORS = """
VALIDATION_FAILED | USER_INPUT | 400 | final | Details of the form need attention; issues \
lists them all. | At least one place of the form breaks a rule, or has what a live team has \
already. | Show each issue at its path, let the person correct it, send again with the same \
key.
REGISTRATION_NOT_OPEN | CONFLICT | 409 | final | Registration has not opened yet. | The \
request arrived before the tournament's opensAt. | Show details.opensAt and keep the form.
REGISTRATION_CLOSED | CONFLICT | 409 | final | Registration is closed. | The request arrived \
at or after the tournament's closesAt. | Say so; a repeat of a registration that succeeded \
is still answered.
TOURNAMENT_FULL | CONFLICT | 409 | final | All places of the tournament are taken. | As many \
live teams as details.capacity are registered. | Say so; a place is free again when a team \
is rejected or withdraws.
CHURCH_LIMIT_REACHED | CONFLICT | 409 | final | The church has as many teams as it may have. \
| details.registered live teams of the church are registered; details.limit are allowed. | \
Say so; ask the church which team it wants to enter.
IDEMPOTENCY_KEY_REUSED | CONFLICT | 409 | final | The idempotency key was used for another \
form. | A key stands for one form for 24 hours. | Make a new key for the new form.
IDEMPOTENCY_IN_PROGRESS | CONFLICT | 409 | retryable | A request with the same idempotency \
key is under way. | The first request had not ended when the wait for it did. | Repeat with \
the same key after retryAfterSeconds.
INVALID_STATUS_TRANSITION | CONFLICT | 409 | final | The team's status does not allow this \
step. | details.from is the team's status, details.attempted the mutation that was called; \
details.allowed are mutations that the caller may call instead. | Read the team again and offer \
what is allowed.
STALE_VERSION | CONFLICT | 409 | final | Somebody changed it in the meantime. | \
expectedVersion is not details.currentVersion; details.isYours says whether this same request \
made the change. | Read again, show what changed, decide again; nothing is left to do where \
details.isYours is true.
TEAM_NOT_FOUND | USER_INPUT | 404 | final | There is no such team. | No team has this id or \
code, or it was erased. | Check the code.
NOT_FOUND | USER_INPUT | 404 | final | There is nothing here. | The address or id names \
nothing. | Check the address.
UNAUTHENTICATED | AUTH | 401 | final | Signing in is needed. | No valid session or token \
came with the request. | Sign in, then repeat.
FORBIDDEN | AUTH | 403 | final | The role does not allow this. | The caller is known, but \
may not do this. | Ask an owner for the role.
BAD_USER_INPUT | USER_INPUT | 400 | final | The request does not have the form it must have. \
| The body is no valid JSON, a variable does not fit its type, or an argument is out of \
range; issues name the places of what is wrong with variables and arguments. | Correct the \
client: this is a defect of the program, not of the person.
RATE_LIMITED | LIMIT | 429 | retryable | Too many requests. | More requests came from this \
address than the limits allow. | Wait retryAfterSeconds, then repeat.
QUERY_TOO_COMPLEX | LIMIT | 400 | final | The document asks for too much at once. | \
details.limit names what there is too much of: details.actual or more, where details.allowed is \
the most. | Ask for less, or in several requests.
BODY_TOO_LARGE | LIMIT | 413 | final | The body is too large. | It has more than \
details.limitBytes bytes. | Send less.
UNSUPPORTED_MEDIA_TYPE | USER_INPUT | 415 | final | The media type of the body is not \
supported. | GraphQL requests are sent as application/json. | Set Content-Type: \
application/json.
METHOD_NOT_ALLOWED | USER_INPUT | 405 | final | The method is not allowed here. | For \
example a mutation with GET. | Use one of the methods in the Allow header.
NOT_ACCEPTABLE | USER_INPUT | 406 | final | No answer of an acceptable type can be given. | \
Accept names neither application/json nor application/graphql-response+json. | Accept one of \
them.
REQUEST_TIMEOUT | UPSTREAM | 504 | retryable | The request took too long and was given up. | \
It was not answered within the time limit. | Repeat with the same idempotency key.
UPLOAD_EXPIRED | USER_INPUT | 410 | final | The upload ticket has expired. | A ticket is \
good for two hours. | Open a new upload for the file.
UPLOAD_OFFSET_MISMATCH | CONFLICT | 409 | final | The bytes do not continue where the upload \
stands. | Content-Range starts elsewhere than Upload-Offset. | Continue from Upload-Offset.
FILE_TOO_LARGE | USER_INPUT | 413 | final | The file is too large. | A document has at most \
5 MiB. | Make a smaller file; on a phone, send a screenshot.
FILE_EMPTY | USER_INPUT | 400 | final | The file is empty. | A document has at least 1 byte. \
| Choose another file.
FILE_TYPE_NOT_ALLOWED | USER_INPUT | 415 | final | This type of file is not allowed here. | \
Documents are PNG, JPEG or PDF; photos are no PDF. | Save it as JPEG; on a phone, send a \
screenshot.
FILE_CONTENT_MISMATCH | USER_INPUT | 400 | final | The content of the file is not what was \
declared. | Size, hash or format differ from the ticket, or the file is damaged. | Open a \
new upload for the file as it is.
STORAGE_UNAVAILABLE | UPSTREAM | 503 | retryable | The storage of documents is away. | The \
storage service does not answer. | Repeat after retryAfterSeconds; nothing is lost.
MAIL_UNAVAILABLE | UPSTREAM | 503 | retryable | The mail service is away. | The mail server \
does not answer. | Repeat after retryAfterSeconds.
SERVICE_UNAVAILABLE | UPSTREAM | 503 | retryable | The service cannot answer right now. | \
The database is away, starting or overloaded. | Repeat with the same idempotency key after \
retryAfterSeconds.
INTERNAL | INTERNAL | 500 | final | Something went wrong on our side. | A defect of the \
service; the log has the cause under the requestId. | Report the requestId.
GRAPHQL_PARSE_FAILED | USER_INPUT | 400 | final | The document is not valid GraphQL. | It \
could not be parsed. | Correct the document at the place named.
GRAPHQL_VALIDATION_FAILED | USER_INPUT | 400 | final | The document does not fit the schema. \
| It names a field, argument or type that there is not. | Correct the document after the \
schema.
PERSISTED_QUERY_NOT_SUPPORTED | USER_INPUT | 400 | final | Persisted queries are not \
supported. | The request had a hash in place of a query. | Send the query itself.
PERSISTED_QUERY_NOT_FOUND | USER_INPUT | 400 | final | No trusted document has this hash or \
name. | The request had a hash or a name in place of a query, and TRUSTED_DOCUMENTS has no \
such document. | Send the query itself, or add it to the trusted documents.
SIGN_IN_FAILED | AUTH | 401 | final | The sign-in was refused. | E-mail, password or the code of \
the second factor is wrong; details.secondFactorRequired is true where the code is. | Let the \
person try again; no session has ended.
"""

# code | key of details | type | always or sometimes there | meaning
_DETAILS = """
REGISTRATION_NOT_OPEN | opensAt | date-time | always | The moment when registration opens.
REGISTRATION_CLOSED | closesAt | date-time | always | The moment when registration closed.
TOURNAMENT_FULL | capacity | integer | always | The number of live teams that have a place.
CHURCH_LIMIT_REACHED | limit | integer | always | The number of live teams that a church may have.
CHURCH_LIMIT_REACHED | registered | integer | always | The number of live teams that it has.
INVALID_STATUS_TRANSITION | from | TeamStatus | always | The status of the team.
INVALID_STATUS_TRANSITION | attempted | TeamOperation | always | The mutation that was refused.
INVALID_STATUS_TRANSITION | allowed | array of TeamOperation | always | The mutations that are \
possible from this status; empty where another status would not help, or none is known.
INVALID_STATUS_TRANSITION | blockers | array of object | sometimes | The reasons why a team is \
not ready to be confirmed: code and message of each, as in readiness.blockers.
STALE_VERSION | currentVersion | integer | always | The version as it is now.
STALE_VERSION | isYours | boolean | always | Whether this same request of the same caller made \
the only change since expectedVersion.
BAD_USER_INPUT | path | array of string or integer | sometimes | The place of a text that is too \
long or cannot be stored, from the argument on: input, players, 3, name.
BAD_USER_INPUT | max | integer | sometimes | The most characters that the text may have.
QUERY_TOO_COMPLEX | limit | name of a limit | always | The limit, named as on the page about \
limits.
QUERY_TOO_COMPLEX | allowed | integer | always | The most that is allowed.
QUERY_TOO_COMPLEX | actual | integer | always | The number asked for, or the number at which \
counting ended.
BODY_TOO_LARGE | limitBytes | integer | always | The most bytes that a body may have here.
UPLOAD_OFFSET_MISMATCH | uploadOffset | integer | always | The number of bytes that have \
arrived; continue with the byte at this offset.
FILE_TOO_LARGE | limitBytes | integer | always | The most bytes that the file may have.
FILE_TYPE_NOT_ALLOWED | formats | array of DocumentFormat | always | The formats that are \
taken.
STORAGE_UNAVAILABLE | store | string | sometimes | The name of a store that is not set up any more.
SIGN_IN_FAILED | secondFactorRequired | boolean | sometimes | True where the password was right \
and the code of the second factor is missing.
"""

# code | meaning | cause | what the client does
_ISSUES = """
NAME_TOO_SHORT | The name is too short. | It has fewer characters than params.min; letters and \
vowel signs count, other marks do not. | Ask for the whole name.
NAME_TOO_LONG | The name, or another text, is too long. | It has more characters than \
params.max; a letter with its marks is one. | Ask for a shorter form.
NAME_CHARACTERS | The name has characters that names do not have, or fewer than two letters. | \
params.characters names those that are not allowed, at most five. Allowed are letters and marks \
of any script, spaces, . ' ’ - ( ) , and /; in team and church names digits and & as well; two \
letters at least. A mark follows its letter, at most six in a row. | Ask to \
leave the characters out, or to write the name in letters.
PHONE_INVALID | This is no valid phone number. | It cannot be a number of its region. | Ask \
for the number; a number from abroad starts with + and the country code.
EMAIL_INVALID | This is no valid e-mail address. | It breaks the syntax of addresses or is \
longer than 254 characters. | Ask for the address.
ROLE_UNKNOWN | There is no such role. | It is not one of registrationRules.roles. | Offer \
the roles to choose from.
DATE_INVALID | This is no date of birth. | It is no real day written as YYYY-MM-DD, lies \
ahead or more than 100 years back. | Ask for the date.
DATE_TIME_INVALID | This is no moment that can be set or looked for. | It is no RFC 3339 date and \
time with an offset, or lies outside the years 1900 to 2200. | Send it with its offset, in UTC \
with Z.
JERSEY_INVALID | This is no jersey number. | It is no whole number from 0 to 999. | Ask for \
another number.
JERSEY_TAKEN | Another player of the team has this jersey number. | Numbers are unique in a \
team. | Ask for another number.
IDENTITY_NUMBER_NOT_ALLOWED | This looks like an identity number, which must not be sent. | \
It holds twelve digits, unbroken, in groups of four or in halves, with the check digit of an \
Aadhaar number, and no word directly before them, such as UTR or phone, says that they are another \
number. In groups of four no word helps. | Ask to take the number out, or to write UTR before it, \
unbroken.
SQUAD_TOO_SMALL | The squad is too small. | It has params.actual players, params.min are \
needed. | Ask for more players.
SQUAD_TOO_LARGE | The squad is too large. | It has params.actual players, params.max are \
allowed. | Ask to take players out.
SAME_PERSON_TWICE | Captain and vice-captain have to be two people. | They have the same \
phone, or the same name and e-mail address. | Ask for somebody else, or their own number.
DUPLICATE_PLAYER | Two players of the team have the same name. | Only different dates of \
birth tell them apart. | Ask for both dates of birth, or to take one out.
DUPLICATE_TEAM_NAME | The church has a team with this name already. | A live team of the \
church has it. | Ask for another name, or whether the team is registered already.
DUPLICATE_CAPTAIN_EMAIL | A team is registered with this captain's e-mail already. | A live \
team has it. | Ask whether the team is registered already.
DUPLICATE_CAPTAIN_PHONE | A team is registered with this captain's phone already. | A live \
team has it. | Ask whether the team is registered already.
MISSING_DOCUMENT | A required document is missing. | params.kinds names the kinds, and \
params.playerCode the player of a registered team. | Ask for \
the documents.
DOCUMENT_UNKNOWN | There is no such uploaded document. | The id names no upload, or one that \
has expired. | Upload the file again.
DOCUMENT_ALREADY_USED | The document belongs to another team or place. | An upload can be \
used once. | Upload the file again.
DOCUMENT_WRONG_KIND | The document is not of the kind that belongs here. | Its kind is \
another, does not belong to a team or to a player, or is there twice. | Put it where it \
belongs, or upload it again.
CONSENT_REQUIRED | The current consent text has to be agreed to. | consentVersion is not \
registrationRules.consentVersion. | Show the text and ask for consent.
TEXT_REQUIRED | A text is missing. | It is empty, or nothing of it can be seen. | Ask for it.
TEXT_CHARACTERS | The text has characters that cannot be kept. | It is one line without control \
characters, with at most six marks in a row. | Ask to type it again.
VALUE_REQUIRED | A value is missing. | It is null, but always has a value. | Ask for it, or leave \
the field out.
NUMBER_OUT_OF_RANGE | The number is too small or too large. | It is below params.min or above \
params.max. | Ask for another number.
ORDER_REVERSED | The end comes before the beginning. | The largest squad is below the smallest, \
or registration closes before it opens. | Ask for one of the two.
TIME_ZONE_UNKNOWN | There is no such time zone. | It is no IANA zone that the database knows. | \
Offer zones to choose from.
CURRENCY_INVALID | This is no currency. | It is not three capital letters, as in ISO 4217. | Ask \
for the currency's code.
UPI_ID_INVALID | This is no UPI id. | It does not have the form payee@bank. | Ask for the UPI id.
PLAYER_UNKNOWN | The team has no such player, or the code is there twice. | playerCode is no code \
of a player of the team, or of the entry before. | Read the team again and use its codes.
FILE_NAME_INVALID | This is no name of a file. | It is empty, a folder, or longer than params.max \
characters. | Send the name of the file that was chosen.
HASH_INVALID | This is no SHA-256 hash. | It is not 64 hexadecimal digits. | Compute the hash of \
exactly the bytes that will be sent.
PASSWORD_LENGTH | The password is too short or too long. | It has fewer characters than params.min \
or more than params.max. | Ask for another password.
PASSWORD_COMMON | The password is one of the first that are tried. | It is on a list of common \
passwords, or one character repeated. | Ask for another password.
PASSWORD_IS_EMAIL | The password is the e-mail address. | They are the same but for capitals. | \
Ask for another password.
LIST_TOO_SHORT | The list has too few entries. | It has params.actual, params.min are needed. | \
Ask for more.
LIST_TOO_LONG | The list has too many entries. | It has params.actual, params.max are allowed. | \
Send the rest in another request.
VALUE_INVALID | The value is not of its type. | It is of another type, or has a field that there \
is not. | Correct the client after the schema.
VALUE_NOT_ALLOWED | This value is not allowed here. | params.allowed names those that are. | Send \
one of them.
CHOOSE_ONE | Exactly one of these has to be there, or at most one. | Of params.names none is \
there, or more than one. | Send one of them.
CURSOR_INVALID | This is no cursor of the list. | It is cut off, or was answered by another \
list. | Begin without a cursor, or send one that this list answered.
ID_UNKNOWN | This id names nothing. | There is no such object, or no longer. | Read the list again \
and use its ids.
SAME_CHURCH | These are one church. | Both ids name the same church. | Ask for another one.
SEASONS_DIFFER | The churches are of different seasons. | Each belongs to one season. | Choose two \
churches of one season.
ORGANISER_EXISTS | There is an organiser with this e-mail already. | Somebody with it can sign in. \
| Ask for another address, or change the role of the one who is there.
SECOND_FACTOR_ON | The second factor is on already. | A code of it was confirmed before. | Disable \
it first.
IDEMPOTENCY_KEY_INVALID | This is no idempotency key. | It does not have params.min to params.max \
printable ASCII characters. | Make a key, such as a UUID.
IDEMPOTENCY_KEYS_DIFFER | The form and the header have different idempotency keys. | \
input.idempotencyKey is not the header Idempotency-Key. | Send one key.
"""

CATALOG = _error_table()
ISSUE_CATALOG = _issue_table()
