"""Every table. Rows are storage: columns and constraints, no behaviour.

Names of constraints are part of the code: `persistence/repositories/registration.py` reads from
them which rule was broken.
"""

from persistence.models import documents, operations, organisers, registration
from persistence.models.base import IS_CURRENT, IS_LIVE, metadata

__all__ = [
    "IS_CURRENT",
    "IS_LIVE",
    "documents",
    "metadata",
    "operations",
    "organisers",
    "registration",
]
