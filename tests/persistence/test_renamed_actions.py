"""Migration 0010: audit actions are renamed, and back again by the downgrade."""

import asyncpg
import pytest
from alembic import command

from persistence.engine import migrate
from tests.persistence.test_migrations import empty_url, run  # noqa: F401 - a fixture

RENAMED = {
    ("captain", "team.registered"): "team.registered",
    ("captain", "team.update"): "team.updated",
    ("captain", "team.withdraw"): "team.withdrawn",
    ("captain", "team.resubmit"): "team.resubmitted",
    ("organiser:1", "team.updateTeam"): "team.updated",
    ("organiser:1", "team.confirm"): "team.confirmed",
    ("organiser:1", "team.requestChanges"): "team.changes_requested",
    ("organiser:1", "team.reject"): "team.rejected",
    ("organiser:1", "team.withdraw"): "team.withdrawn",
    ("organiser:1", "team.reopen"): "team.reopened",
    ("organiser:1", "team.addPlayer"): "team.player_added",
    ("organiser:1", "team.updatePlayer"): "team.player_updated",
    ("organiser:1", "team.removePlayer"): "team.player_removed",
    ("organiser:1", "team.reissueManageToken"): "team.token_reissued",
    ("organiser:1", "team.churchMerged"): "team.church_merged",
    ("organiser:1", "api_token.created"): "api_token.created",
    ("system", "document.expired"): "document.expired",
    ("system", "something.else"): "something.else",
}
# Actions that were also stored as decisions.
DECIDED = {
    (actor, old): new
    for (actor, old), new in RENAMED.items()
    if old.startswith("team.") and old not in {"team.registered", "team.churchMerged"}
}
EVENTS = "SELECT actor, action, changes FROM audit_event"
DECISIONS = "SELECT actor, event, reason FROM decision"


def test_stored_actions_are_renamed_and_restored(empty_url):  # noqa: F811 - the fixture
    migrate.upgrade(empty_url, "0009")
    # The decisions need no team.
    run(empty_url, "ALTER TABLE decision DROP CONSTRAINT fk_decision_team_id")
    for actor, action in RENAMED:
        run(
            empty_url,
            "INSERT INTO audit_event VALUES (gen_random_uuid(), now(),"
            f" '{actor}', '{action}', NULL, 'request', '{{\"version\": [1, 2]}}')",
        )
    for actor, action in DECIDED:
        run(
            empty_url,
            "INSERT INTO decision (id, team_id, at, actor, event, reason, items)"
            " VALUES (gen_random_uuid(), gen_random_uuid(), now(),"
            f" '{actor}', '{action.removeprefix('team.')}', 'Why.', '[]')",
        )
    before = run(empty_url, EVENTS), run(empty_url, DECISIONS)

    migrate.upgrade(empty_url)

    changes = '{"version": [1, 2]}'
    assert run(empty_url, EVENTS) == sorted(
        ((actor, action, changes) for (actor, _), action in RENAMED.items()), key=repr
    )
    assert run(empty_url, DECISIONS) == sorted(
        ((actor, action, "Why.") for (actor, _), action in DECIDED.items()), key=repr
    )
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="audit_event is append-only"):
        run(empty_url, "UPDATE audit_event SET actor = 'nobody'")

    command.downgrade(migrate.config(empty_url), "0009")

    assert (run(empty_url, EVENTS), run(empty_url, DECISIONS)) == before
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="audit_event is append-only"):
        run(empty_url, "DELETE FROM audit_event")
