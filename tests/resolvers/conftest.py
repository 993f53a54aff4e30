"""Document stores of both kinds, and services that use one of them."""

from dataclasses import replace

import pytest

from domain.errors.exceptions import StorageUnavailable
from integrations.storage.cloudinary_store import CloudinaryStore
from resilience.circuit_breaker import ServiceGuard, ServiceGuardOptions
from tests.cloudinary import CloudinaryStandIn
from tests.document_stores import CloudinaryHarness, FolderHarness


@pytest.fixture
def stand_in():
    with CloudinaryStandIn() as opened:
        yield opened


@pytest.fixture(params=["folder", "cloudinary"])
def harness(request, services, stand_in):
    if request.param == "folder":
        return FolderHarness(services.storage.primary_store)
    options = ServiceGuardOptions(attempts=1, timeout_seconds=5, retry_wait_seconds=0)
    guard = ServiceGuard(
        "cloudinary",
        options,
        transient=CloudinaryStore.TRANSIENT,
        unavailable=StorageUnavailable,
    )
    return CloudinaryHarness(CloudinaryStore(stand_in.url, guard, timeout_seconds=5), stand_in)


@pytest.fixture
def stored_services(services, harness):
    """Services with this store only."""
    store = harness.store
    storage = replace(services.storage, primary_store=store, stores={store.name: store})
    return replace(services, storage=storage)
