"""The generated secret of a service without SECRET_KEY, stored in its data folder."""

import os
import secrets
import tempfile
from pathlib import Path

MIN_LENGTH = 32


def load_or_create(data_dir: Path) -> str:
    """The secret in `data_dir`, created at the first call. Raises ValueError if it is damaged."""
    path = data_dir / "secret_key"
    if not path.exists():
        data_dir.mkdir(parents=True, exist_ok=True)
        _create(path)
    key = path.read_bytes().decode("ascii", "replace").strip()
    if len(key) < MIN_LENGTH:
        raise ValueError(f"{path} is damaged: delete it to create a new secret")
    return key


def _create(path: Path) -> None:
    # A link appears with its whole content and never replaces an existing file, so processes that
    # start together use the same secret. mkstemp creates the file with mode 0600.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".secret_key-")
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(48))
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        Path(temporary).unlink()
