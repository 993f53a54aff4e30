"""What is derived from the service's secret: manage tokens and fingerprints of requests."""

import base64
import dataclasses
import hmac
import json
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

from domain.form import TeamForm

FIRST_GENERATION = 1


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Secrets:
    """`previous` is still accepted, never used to make anything."""

    current: str
    previous: str | None = None


def manage_token(secrets: Secrets, team_id: UUID, generation: int = FIRST_GENERATION) -> str:
    """`icm_`, the team's id in hex, `_`, the generation, `_` and 43 characters of an HMAC."""
    signed = f"{team_id.hex}_{generation}"
    digest = _digest(secrets.current, "manage-token", signed.encode())
    return f"icm_{signed}_{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def fingerprint(secrets: Secrets, form: TeamForm) -> bytes:
    """An HMAC of the form as it was sent, whatever the order of its keys."""
    return _fingerprint(secrets.current, form)


def is_fingerprint(secrets: Secrets, form: TeamForm, expected: bytes) -> bool:
    keys = [secrets.current] + ([secrets.previous] if secrets.previous else [])
    return any(hmac.compare_digest(_fingerprint(key, form), expected) for key in keys)


def _fingerprint(key: str, form: TeamForm) -> bytes:
    canonical = json.dumps(dataclasses.asdict(form), sort_keys=True, separators=(",", ":"))
    return _digest(key, "fingerprint", canonical.encode())


def _digest(key: str, purpose: str, message: bytes) -> bytes:
    purpose_key = hmac.digest(key.encode(), purpose.encode(), sha256)
    return hmac.digest(purpose_key, message, sha256)
