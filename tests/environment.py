"""Settings loaded from given environment variables only."""

from pathlib import Path

import pytest

from settings import Settings, SettingsError, load_settings

DEPLOYED = {
    "DATABASE_URL": "postgresql://icct:pw@db.example.org/icct26",
    "SECRET_KEY": "q7Jd0vX2mLr9TbWc5ZkNs8HyPfGa3EuR",
    "ALLOWED_HOSTS": "api.icct26.org",
    "TRUSTED_PROXIES": "none",
}
FULL_SET = (
    "PASTOR_LETTER",
    "PAYMENT_RECEIPT",
    "GROUP_PHOTO",
    "IDENTITY_PROOF",
    "SUBSCRIPTION_CARD",
)


def load_settings_from(
    patch: pytest.MonkeyPatch, env_file: Path | None = None, **variables: str
) -> Settings:
    for names in Settings.names().values():
        for name in names:
            patch.delenv(name, raising=False)
    for name, value in variables.items():
        patch.setenv(name, value)
    return load_settings(env_file)


def settings_problems(
    patch: pytest.MonkeyPatch, env_file: Path | None = None, **variables: str
) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        load_settings_from(patch, env_file, **variables)
    return raised.value.problems
