"""Types of setting values, each with its unit and range."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from config import lists
from config.database_url import asyncpg_url
from domain.documents import DocumentKind

DOCUMENTS = tuple(kind.value for kind in DocumentKind)
RATE_STORE = re.compile(r"memory://|(rediss?|valkeys?)://[^\s/?#]\S*")
CLOUDINARY = re.compile(r"cloudinary://[^\s:@/]+:[^\s:@/]+@[^\s:@/]\S*")


def unit(name: str, minimum: int | None = None, maximum: int | None = None) -> Any:
    """Return a pydantic Field with the unit of a value and its inclusive range."""
    return Field(ge=minimum, le=maximum, json_schema_extra={"unit": name})


def _case(convert: Callable[[str], str]) -> BeforeValidator:
    return BeforeValidator(lambda value: convert(value) if isinstance(value, str) else value)


def _list(parse: Callable[[str], str], expected: str) -> AfterValidator:
    return AfterValidator(lists.parse_each(parse, expected))


def _parse_document(text: str) -> str:
    return DOCUMENTS[DOCUMENTS.index(text.upper())]


def _strip_brackets(text: str) -> str:
    return text[1:-1] if re.fullmatch(r"\[.+\]", text) else text


def _secret(check: Callable[[str], object], form: str = "") -> AfterValidator:
    """A validator of secrets. `check` refuses with ValueError or a false result."""

    def validate(value: SecretStr) -> SecretStr:
        if not check(value.get_secret_value()):
            raise ValueError(f"is not of the form {form}")
        return value

    return AfterValidator(validate)


_EnvironmentName = Literal["development", "test", "staging", "production"]
ENVIRONMENTS = get_args(_EnvironmentName)
Environment = Annotated[_EnvironmentName, _case(str.lower), unit("word")]
Level = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
    _case(str.upper),
    unit("word"),
]
Store = Annotated[Literal["folder", "cloudinary"], _case(str.lower), unit("folder or cloudinary")]
Text = Annotated[str, Field(min_length=1, max_length=200), unit("text")]
# An IPv6 address may be given in brackets, as in a URL.
BindAddress = Annotated[Text, AfterValidator(_strip_brackets)]
MailAddress = Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$"), unit("e-mail address")]
HttpAddress = Annotated[str, Field(pattern=r"^https?://[^\s/@]+(/\S*)?$"), unit("URL")]
Flag = Annotated[bool, unit("true or false")]
Port = Annotated[int, unit("port", 1, 65_535)]
Seconds = Annotated[int, unit("seconds", 1, 86_400)]
Bytes = Annotated[int, unit("bytes", 1_024, 1 << 30)]
FilePath = Annotated[Path, unit("path")]
Secret = Annotated[SecretStr, unit("secret")]
List = Annotated[tuple[str, ...], NoDecode, BeforeValidator(lists.split_list), unit("list")]
Hosts = Annotated[List, _list(lists.parse_host, "a host name or address without port")]
Origins = Annotated[List, _list(lists.parse_origin, "an origin such as https://icct26.example.org")]
HeaderNames = Annotated[List, _list(lists.parse_header_name, "the name of a header")]
Networks = Annotated[
    List, _list(lists.parse_network, "an IP address, or a network that has not all addresses")
]
Documents = Annotated[List, _list(_parse_document, f"one of {', '.join(DOCUMENTS)}")]
DatabaseUrl = Annotated[SecretStr, _secret(asyncpg_url), unit("URL")]
RateStore = Annotated[
    SecretStr,
    _secret(RATE_STORE.fullmatch, "memory://, redis://… or valkey://…"),
    unit("URL"),
]
CloudinaryUrl = Annotated[
    SecretStr, _secret(CLOUDINARY.fullmatch, "cloudinary://KEY:SECRET@CLOUD"), unit("URL")
]
