"""Every table. Rows are storage: columns and constraints, no behaviour.

Names of constraints are part of the code: `persistence/registration.py` tells by them which rule a
violation broke.
"""

from persistence.models import documents, journal, organisers, registration
from persistence.models.base import IS_CURRENT, IS_LIVE, metadata

__all__ = [
    "IS_CURRENT",
    "IS_LIVE",
    "documents",
    "journal",
    "metadata",
    "organisers",
    "registration",
]
