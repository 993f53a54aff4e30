"""Consistent names of actions, deliveries and mutations."""

import ast
import json
import re
from itertools import product
from pathlib import Path

import pytest
from graphql import GraphQLEnumType, build_schema, get_named_type
from strawberry.types.base import StrawberryObjectDefinition
from strawberry.utils.str_converters import to_camel_case

from domain.audit import AUDIT_ACTION_BY_OPERATION, AUDIT_ACTION_BY_TEAM_ACTION, AuditAction
from domain.deliveries import DeliveryKind
from domain.documents import DocumentKind, DocumentReview
from domain.errors.base import DetailType
from domain.naming import camel_case
from domain.operations import Operation
from domain.teams.readiness import assess_readiness
from domain.teams.status import TeamAction, TeamStatus
from schema import schema
from schema.error_docs import error_schema
from schema.sdl import print_sdl
from tests import factories
from tests.graphql_client import data, error_extensions, execute
from tests.schema.operations.test_organiser_queries import AUDIT, DELIVERIES
from tests.schema.teams.test_corrections import correct  # noqa: F401 - a fixture
from tests.schema.teams.test_decisions import DECISIONS, decide, everything, put_in, register
from tests.schema.test_captain import RESUBMIT, WITHDRAW
from tests.uploading import upload

SCHEMA = build_schema(print_sdl())
MUTATIONS = SCHEMA.mutation_type.fields
ROOT = Path(__file__).parents[2]
FOLDERS = ("domain", "persistence", "resolvers", "schema", "web")
# Stored before actions were named in the past tense, or by another version of the service.
UNKNOWN_ACTIONS = ["team.confirm", "team.requestChanges", "event.1", "", "OTHER", "team.confirmed "]
UPDATE = """
mutation U($input: UpdateMyTeamInput!) { updateMyTeam(input: $input) { team { version } } }
"""
REVIEW = """
mutation R($input: ReviewDocumentInput!) { reviewDocument(input: $input) { team { version } } }
"""


@pytest.mark.parametrize(
    ("name", "members"), [("AuditAction", AuditAction), ("DeliveryKind", DeliveryKind)]
)
def test_enum_has_the_names_of_stored_values(name, members):
    assert list(SCHEMA.get_type(name).values) == [
        member.value.upper().replace(".", "_") for member in members
    ]


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        (("AuditEvent", "action"), "AuditAction!"),
        (("AuditFilter", "action"), "[AuditAction!]"),
        (("Delivery", "kind"), "DeliveryKind!"),
        (("DeliveryFilter", "kind"), "[DeliveryKind!]"),
        (("Readiness", "nextOperation"), "TeamOperation"),
    ],
)
def test_actions_kinds_and_mutations_are_enumerations_wherever_they_are_told(place, kind):
    owner, field = place
    found = SCHEMA.get_type(owner).fields[field].type

    assert str(found) == kind
    assert isinstance(get_named_type(found), GraphQLEnumType)


def test_mutations_are_enumerated_as_they_are_called():
    kind = SCHEMA.get_type("TeamOperation")

    assert list(kind.values) == [operation.value for operation in Operation]
    assert set(kind.values) <= set(MUTATIONS)
    assert [value.description for value in kind.values.values() if not value.description] == []


def test_details_of_a_refused_step_are_enumerated_in_the_published_schema():
    definitions = {
        entry["if"]["properties"]["code"]["const"]: entry["then"]["properties"]["details"]
        for entry in json.loads(error_schema())["properties"]["errors"]["items"]["properties"][
            "extensions"
        ]["allOf"]
    }
    details = definitions["INVALID_STATUS_TRANSITION"]["properties"]
    operations = list(SCHEMA.get_type("TeamOperation").values)

    assert details["attempted"]["enum"] == operations
    assert details["allowed"]["items"]["enum"] == operations
    assert details["from"]["enum"] == list(SCHEMA.get_type("TeamStatus").values)
    assert details["blockers"]["items"]["properties"]["code"]["enum"] == list(
        SCHEMA.get_type("BlockerCode").values
    )
    formats = definitions["FILE_TYPE_NOT_ALLOWED"]["properties"]["formats"]["items"]
    assert formats["enum"] == list(SCHEMA.get_type("DocumentFormat").values)


def test_types_of_details_that_are_no_json_are_enumerations_of_the_schema():
    named = {kind.value.removeprefix("array of ") for kind in DetailType}
    enumerations = {name for name in named if name[0].isupper()}

    assert enumerations == {"TeamStatus", "TeamOperation", "DocumentFormat"}
    assert all(isinstance(SCHEMA.get_type(name), GraphQLEnumType) for name in enumerations)


def test_actions_are_a_noun_and_a_verb_in_the_past_tense():
    past = re.compile(r"[a-z]+(_[a-z]+)*\.([a-z]+_)*([a-z]+ed|withdrawn|reset|signed_(in|out))")

    assert [
        action
        for action in AuditAction
        if action != AuditAction.OTHER and not past.fullmatch(action)
    ] == []


def test_every_action_and_kind_is_used():
    used = {
        node.attr
        for folder in FOLDERS
        for file in (ROOT / folder).rglob("*.py")
        if file.name != "enums.py"
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute)
    }

    assert {member.name for member in (*AuditAction, *DeliveryKind)} - used == set()


def test_actions_are_never_written_as_strings():
    former = {f"team.{event.value}" for event in TeamAction}
    texts = {
        (file.relative_to(ROOT).as_posix(), node.value)
        for folder in FOLDERS
        for file in (ROOT / folder).rglob("*.py")
        if "migrations" not in file.parts
        and file not in {ROOT / "domain" / "audit.py", ROOT / "domain" / "deliveries.py"}
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant)
        and node.value in former | {*AuditAction, *DeliveryKind} - {"other"}
    }

    # The name of a list's cursors, which nobody reads.
    assert texts == {("schema/teams/queries.py", "team.registered")}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("name", "name"),
        ("fee_amount", "feeAmount"),
        ("has_next_page", "hasNextPage"),
        ("sha256", "sha256"),
        ("line_2_of", "line2Of"),
        ("feeAmount", "feeAmount"),
        ("", ""),
    ],
)
def test_name_is_written_in_camel_case(name, shown):
    assert camel_case(name) == shown


def test_names_are_converted_in_one_place():
    texts = {
        file.relative_to(ROOT).as_posix()
        for folder in FOLDERS
        for file in (ROOT / folder).rglob("*.py")
        if re.search(r"to_camel_case|\.title\(\)|\.capitalize\(\)", file.read_text())
    }

    assert texts == {"domain/naming.py"}


def test_names_of_the_schema_are_those_of_the_conversion():
    converter = schema.schema_converter
    names = {
        field.python_name: converter.config.name_converter.get_graphql_name(field)
        for kind in converter.type_map.values()
        if isinstance(kind.definition, StrawberryObjectDefinition)
        for field in kind.definition.fields
        if field.graphql_name is None
    }

    assert len(names) > 200
    assert names == {name: camel_case(name) for name in names}
    assert names.items() <= {name: to_camel_case(name) for name in names}.items()


def test_operations_are_mutations_that_name_a_version():
    assert [operation for operation in Operation if operation not in MUTATIONS] == []
    assert [
        operation
        for operation in Operation
        if "expectedVersion" not in get_named_type(MUTATIONS[operation].args["input"].type).fields
    ] == []


def test_every_event_and_every_edit_has_an_action():
    assert set(AUDIT_ACTION_BY_TEAM_ACTION) == set(TeamAction)
    assert {operation.value for operation in AUDIT_ACTION_BY_OPERATION} == {
        "updateTeam",
        "updatePlayer",
        "addPlayer",
        "removePlayer",
        "reissueManageToken",
        "updateMyTeam",
    }


def test_next_operations_are_mutations_and_the_description_names_each():
    kinds = (DocumentKind.PASTOR_LETTER, DocumentKind.IDENTITY_PROOF)
    following = {
        assess_readiness(
            status,
            kinds,
            {kinds[0]: letter} if letter else {},
            {"ICCT-001-P01": {kinds[1]: proof} if proof else {}},
        ).next_operation
        for status, letter, proof in product(
            TeamStatus, (None, *DocumentReview), (None, *DocumentReview)
        )
    }
    description = SCHEMA.get_type("Readiness").fields["nextOperation"].description

    assert following - {None} <= set(MUTATIONS)
    assert {name for name in MUTATIONS if re.search(rf"\b{name}\b", description)} == (
        following - {None}
    )


@pytest.fixture
async def captain(client) -> dict[str, str]:
    answer = data(await execute(client, factories.REGISTER, {"input": factories.team(1)}))[
        "registerTeam"
    ]
    return {"Authorization": f"Bearer {answer['manageToken']}"}


@pytest.mark.parametrize(
    ("status", "mutation", "allowed"),
    [
        ("PENDING", RESUBMIT, ["withdrawMyTeam"]),
        ("CONFIRMED", RESUBMIT, ["withdrawMyTeam"]),
        ("REJECTED", RESUBMIT, []),
        ("REJECTED", WITHDRAW, []),
        ("WITHDRAWN", WITHDRAW, []),
        ("CONFIRMED", UPDATE, []),
        ("REJECTED", UPDATE, []),
    ],
)
async def test_refused_captain_sees_the_attempted_mutation(
    client, sql, captain, status, mutation, allowed
):
    await put_in(sql, TeamStatus(status))
    before = await everything(sql)
    wanted = {"expectedVersion": 1, "reason": "We moved."}
    if mutation != WITHDRAW:
        del wanted["reason"]

    answer = await execute(client, mutation, {"input": wanted}, **captain)

    attempted = re.search(r"\{\s*(\w+)\(", mutation)[1]
    details = {"from": status, "attempted": attempted, "allowed": allowed}
    assert error_extensions(answer)["details"] == details
    assert await everything(sql) == before


async def test_refused_organiser_sees_the_attempted_mutation(client, sql, reviewer):
    letter = await upload(client, "PASTOR_LETTER")
    team = factories.team(1, documents=[{"kind": "PASTOR_LETTER", "documentId": letter}])
    data(await execute(client, factories.REGISTER, {"input": team}))
    missing = ["PASTOR_LETTER", "GROUP_PHOTO"]
    await sql.execute("UPDATE tournament SET required_documents = $1", missing)

    unready = error_extensions(await decide(client, reviewer, TeamAction.CONFIRM))["details"]
    await put_in(sql, TeamStatus.CONFIRMED)
    wanted = {"documentId": letter, "expectedVersion": 1, "review": "ACCEPTED"}
    review = error_extensions(await execute(client, REVIEW, {"input": wanted}, **reviewer))[
        "details"
    ]

    assert (unready["from"], unready["attempted"], unready["allowed"]) == (
        "PENDING",
        "confirmTeam",
        [],
    )
    assert review == {"from": "CONFIRMED", "attempted": "reviewDocument", "allowed": []}


@pytest.mark.parametrize(
    ("name", "action", "wanted"),
    [
        ("updateTeam", "TEAM_UPDATED", {"teamId": "ICCT-001", "teamName": "Others"}),
        ("updatePlayer", "TEAM_PLAYER_UPDATED", {"playerId": "ICCT-001-P01", "name": "Other"}),
        ("addPlayer", "TEAM_PLAYER_ADDED", {"teamId": "ICCT-001", "player": {"name": "New Man"}}),
        ("removePlayer", "TEAM_PLAYER_REMOVED", {"playerId": "ICCT-001-P12"}),
        ("reissueManageToken", "TEAM_TOKEN_REISSUED", {"teamId": "ICCT-001"}),
    ],
)
async def test_correction_is_in_the_history_with_its_reason(
    client,
    correct,  # noqa: F811 - the fixture
    name,
    action,
    wanted,
):
    await register(client, 1, players=factories.players(12))

    fields = "team { history { action reason } }"
    answer = data(await correct(name, 1, fields, **wanted))[name]["team"]

    assert answer["history"] == [
        {"action": "TEAM_REGISTERED", "reason": None},
        {"action": action, "reason": "The captain called."},
    ]


@pytest.mark.parametrize("event", [TeamAction.CONFIRM, TeamAction.REJECT, TeamAction.WITHDRAW])
async def test_decision_is_in_the_history_with_its_reason(client, reviewer, event):
    await register(client, 1)
    text = {"overrideReason" if event == TeamAction.CONFIRM else "reason": "The pastor called."}
    data(await decide(client, reviewer, event, **text))

    query = '{ team(code: "ICCT-001") { history { action reason } } }'
    told = data(await execute(client, query, **reviewer))["team"]["history"]

    action = AUDIT_ACTION_BY_TEAM_ACTION[event].name
    assert told[1:] == [{"action": action, "reason": "The pastor called."}]
    assert DECISIONS[event][0] in MUTATIONS


async def test_actions_of_other_versions_are_read_and_searched_for(client, sql, reviewer):
    await register(client, 1)
    for place, action in enumerate(UNKNOWN_ACTIONS, start=1):
        await sql.execute(
            "INSERT INTO audit_event (id, at, actor, action, team_id, request_id, changes)"
            " SELECT ('ffffffff-ffff-7fff-bfff-ffffffffff' || lpad($1, 2, '0'))::uuid,"
            " now(), 'system', $2, id, 'x', '{\"version\": [1, 2]}' FROM team",
            str(place),
            action,
        )

    async def search(*actions):
        wanted = {"filter": {"action": actions, "teamId": "ICCT-001"}}
        found = data(await execute(client, AUDIT, wanted, **reviewer))["auditLog"]
        assert found["totalCount"] == len(found["nodes"])
        return [(node["action"], node["changes"].get("action")) for node in found["nodes"]]

    others = [("OTHER", action) for action in reversed(UNKNOWN_ACTIONS)]
    assert await search("OTHER") == others
    assert await search("OTHER", "TEAM_REGISTERED") == [*others, ("TEAM_REGISTERED", None)]
    assert await search("TEAM_REGISTERED") == [("TEAM_REGISTERED", None)]
    assert await search("TEAM_CONFIRMED", "TEAM_REJECTED") == []
    assert await search() == [*others, ("TEAM_REGISTERED", None)]
    assert await search(*["TEAM_REGISTERED"] * 300) == [("TEAM_REGISTERED", None)]


async def test_kinds_of_other_versions_are_read_and_searched_for(client, sql, reviewer):
    await register(client, 1)
    for kind in ("sms.team_received", "media.copy"):
        await sql.execute(
            "INSERT INTO outbox_message (id, kind, payload, created_at, due_at)"
            " VALUES (gen_random_uuid(), $1, '{}', now(), now())",
            kind,
        )

    async def search(*kinds):
        wanted = {"filter": {"kind": kinds}}
        found = data(await execute(client, DELIVERIES, wanted, **reviewer))["deliveries"]
        assert found["totalCount"] == len(found["nodes"])
        return sorted(node["kind"] for node in found["nodes"])

    assert await search("OTHER") == ["OTHER", "OTHER"]
    assert await search("OTHER", "MAIL_TEAM_RECEIVED") == ["MAIL_TEAM_RECEIVED", "OTHER", "OTHER"]
    assert await search("MAIL_TEAM_RECEIVED") == ["MAIL_TEAM_RECEIVED"]
    assert await search("MEDIA_DELETE") == []


@pytest.mark.parametrize("action", ["team.confirmed", "team.confirm", "x", "", "team_confirmed"])
async def test_unknown_action_is_refused_without_echo(client, reviewer, action):
    answer = await execute(client, AUDIT, {"filter": {"action": [action]}}, **reviewer)

    assert error_extensions(answer)["code"] == "BAD_USER_INPUT"
    assert f'"{action}"' not in answer.text
    assert f"'{action}'" not in answer.text
