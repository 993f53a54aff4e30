"""Audit actions are a noun and what was done to it, in the past tense.

The row of a decision names the action of its audit event, by which the two are joined.
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_RENAMED = {
    "team.confirm": "team.confirmed",
    "team.requestChanges": "team.changes_requested",
    "team.resubmit": "team.resubmitted",
    "team.reject": "team.rejected",
    "team.withdraw": "team.withdrawn",
    "team.reopen": "team.reopened",
    "team.update": "team.updated",
    "team.updateTeam": "team.updated",
    "team.addPlayer": "team.player_added",
    "team.updatePlayer": "team.player_updated",
    "team.removePlayer": "team.player_removed",
    "team.reissueManageToken": "team.token_reissued",
    "team.churchMerged": "team.church_merged",
}
_FORMER = {new: old for old, new in _RENAMED.items()}


def upgrade() -> None:
    _rename(
        f"CASE action {_cases(_RENAMED)} ELSE action END",
        f"CASE 'team.' || event {_cases(_RENAMED)} ELSE 'team.' || event END",
    )


def downgrade() -> None:
    # A captain's edit and an organiser's had two names.
    former = f"CASE {{0}} {_cases(_FORMER)} ELSE {{0}} END"
    captains = "CASE WHEN {0} = 'team.updated' AND actor = 'captain' THEN 'team.update' ELSE "
    former = f"{captains}{former} END"
    _rename(former.format("action"), f"substr({former.format('event')}, {len('team.') + 1})")


def _cases(names: dict[str, str]) -> str:
    return " ".join(f"WHEN '{before}' THEN '{after}'" for before, after in names.items())


def _rename(action: str, event: str) -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    # The audit log refuses updates; until this transaction ends, nobody else writes to it.
    op.execute("ALTER TABLE audit_event DISABLE TRIGGER audit_event_append_only")
    op.execute(f"UPDATE audit_event SET action = {action} WHERE action <> {action}")  # noqa: S608
    op.execute("ALTER TABLE audit_event ENABLE TRIGGER audit_event_append_only")
    op.execute(f"UPDATE decision SET event = {event}")  # noqa: S608 - constants of ours
