"""Base class of the settings. It reports all problems at once, and never a value."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Self

from pydantic import AliasChoices, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, DotEnvSettingsSource, SettingsConfigDict
from pydantic_settings import PydanticBaseSettingsSource as Source


class SettingsError(Exception):
    """The service must not start. `problems` name variables and never contain a value."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, slots=True, kw_only=True)
class CombinationRule:
    """A rule for several variables together, reported under the first of `names`."""

    is_broken: bool
    names: tuple[str, ...]
    reason: str


def by_environment(
    *, deployed: Any, development: Any, test: Any
) -> Callable[[dict[str, Any]], Any]:
    """A default factory by ENVIRONMENT; `deployed` is for staging and production."""
    defaults = {"development": development, "test": test}
    return lambda validated: defaults.get(validated["environment"], deployed)


class CheckedSettings(BaseSettings):
    """Raises SettingsError instead of pydantic's errors, which repeat the values."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        populate_by_name=True,
    )

    def combination_rules(self) -> Iterator[CombinationRule]:
        """Rules that are checked when each value is valid by itself."""
        yield from ()

    @classmethod
    def names(cls) -> Mapping[str, tuple[str, ...]]:
        """The environment variables of each field, the preferred name first."""
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
    def _report_all(cls, values: dict[str, Any], build: ModelWrapValidatorHandler[Self]) -> Self:
        errors: dict[str, ErrorDetails] = {}
        try:
            settings = build(values)
        except ValidationError as error:
            # A default factory is not called if ENVIRONMENT is invalid, which has its own error.
            errors = {
                str(details["loc"][0]): details
                for details in error.errors(
                    include_url=False, include_input=False, include_context=False
                )
                if details["type"] != "default_factory_not_called"
            }
            settings = build({key: value for key, value in values.items() if key not in errors})
        reasons = {
            cls.names().get(key, (key.upper(),))[0]: cls._reason(key, details)
            for key, details in errors.items()
        }
        problems = [f"{name}: {reason}" for name, reason in reasons.items()]
        problems += [
            f"{rule.names[0]}: {rule.reason}"
            for rule in settings.combination_rules()
            if rule.is_broken and reasons.keys().isdisjoint(rule.names)
        ]
        if problems:
            raise SettingsError(problems)
        return settings

    @classmethod
    def _reason(cls, key: str, error: ErrorDetails) -> str:
        if error["type"] == "extra_forbidden":
            name = cls.closest_name(key)
            return f"is not known; {name} is" if name else "is not known"
        return error["msg"].removeprefix("Value error, ")

    @classmethod
    def closest_name(cls, name: str) -> str | None:
        """The variable with this name or nearly this name."""
        candidates = [candidate for names in cls.names().values() for candidate in names]
        return next(iter(get_close_matches(name.upper(), candidates, n=1, cutoff=0.85)), None)


class _EnvFile(DotEnvSettingsSource):
    settings_cls: type[CheckedSettings]

    def __call__(self) -> dict[str, Any]:
        """Values of known variables, and misspelt names, which the model then refuses."""
        closest = {name: self.settings_cls.closest_name(name) for name in self.env_vars}
        misspelt = [name for name, known in closest.items() if known and known != name.upper()]
        # Skip DotEnvSettingsSource.__call__, which adds every unknown variable of the file: it may
        # hold variables of other programs.
        return super(DotEnvSettingsSource, self).__call__() | dict.fromkeys(misspelt)


def _aliases(alias: object) -> tuple[str, ...]:
    return tuple(map(str, alias.choices)) if isinstance(alias, AliasChoices) else ()
