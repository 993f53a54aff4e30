"""Settings that are checked together and report every problem at once, without any value."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Self

from pydantic import AliasChoices, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, DotEnvSettingsSource, SettingsConfigDict
from pydantic_settings import PydanticBaseSettingsSource as Source

ENVIRONMENTS = ("development", "test", "staging", "production")


class SettingsError(Exception):
    """The service must not start. `problems` name variables and never hold a value."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, slots=True, kw_only=True)
class CombinationRule:
    """Values that are each right and together wrong, told of the first of `names`."""

    unsafe: bool
    names: tuple[str, ...]
    reason: str


def by_environment(
    *, deployed: Any, development: Any, test: Any
) -> Callable[[dict[str, Any]], Any]:
    """A default that follows ENVIRONMENT; `deployed` is that of staging and production."""
    local = {"development": development, "test": test}
    return lambda known: local.get(known["environment"], deployed)


class CheckedSettings(BaseSettings):
    """Raises SettingsError instead of pydantic's errors, which repeat what was given."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        populate_by_name=True,
    )

    def combinations(self) -> Iterator[CombinationRule]:
        """What is checked when every value is right by itself."""
        yield from ()

    @classmethod
    def names(cls) -> Mapping[str, tuple[str, ...]]:
        """The environment variables of every field, the one to use first."""
        return {
            field: tuple(dict.fromkeys((*_aliases(info.validation_alias), field.upper())))
            for field, info in cls.model_fields.items()
        }

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: Source,
        env_settings: Source,
        dotenv_settings: Source,
        file_secret_settings: Source,
    ) -> tuple[Source, ...]:
        env_file = getattr(dotenv_settings, "env_file", None)
        return init_settings, env_settings, _EnvFile(settings_cls, env_file), file_secret_settings

    @model_validator(mode="wrap")
    @classmethod
    def _report_all(cls, given: dict[str, Any], build: ModelWrapValidatorHandler[Self]) -> Self:
        wrong: dict[str, ErrorDetails] = {}
        try:
            settings = build(given)
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False, include_context=False)
            # A default that follows a wrong value is no problem of its own.
            own = (one for one in found if one["type"] != "default_factory_not_called")
            wrong = {str(one["loc"][0]): one for one in own}
            settings = build({key: value for key, value in given.items() if key not in wrong})
        problems = {cls._name(key): cls._reason(key, one) for key, one in wrong.items()}
        lines = [f"{name}: {reason}" for name, reason in problems.items()]
        lines += [
            f"{one.names[0]}: {one.reason}"
            for one in settings.combinations()
            if one.unsafe and problems.keys().isdisjoint(one.names)
        ]
        if lines:
            raise SettingsError(lines)
        return settings

    @classmethod
    def _name(cls, key: str) -> str:
        return cls.names().get(key, (key.upper(),))[0]

    @classmethod
    def _reason(cls, key: str, error: ErrorDetails) -> str:
        if error["type"] == "extra_forbidden":
            meant = cls.meant_by(key)
            return f"is not known; {meant} is" if meant else "is not known"
        return error["msg"].removeprefix("Value error, ")

    @classmethod
    def meant_by(cls, name: str) -> str | None:
        """The variable that is called so or nearly so."""
        known = [name for names in cls.names().values() for name in names]
        return next(iter(get_close_matches(name.upper(), known, n=1, cutoff=0.85)), None)


class _EnvFile(DotEnvSettingsSource):
    settings_cls: type[CheckedSettings]

    def __call__(self) -> dict[str, Any]:
        """What the settings know, and what they do not know but is nearly called the same."""
        near = {name: self.settings_cls.meant_by(name) for name in self.env_vars}
        slips = [name for name, meant in near.items() if meant and meant != name.upper()]
        return super(DotEnvSettingsSource, self).__call__() | dict.fromkeys(slips)


def _aliases(alias: object) -> tuple[str, ...]:
    return tuple(map(str, alias.choices)) if isinstance(alias, AliasChoices) else ()
