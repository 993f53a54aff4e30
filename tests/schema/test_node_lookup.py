"""Objects by their ids, for organisers and for captains."""

import pytest
from graphql import GraphQLObjectType, get_named_type

from domain.auth.roles import Role
from domain.teams.status import TeamAction
from schema import schema
from tests import factories
from tests.accounts import bearer_headers
from tests.graphql_client import data, error_extensions, execute
from tests.schema.teams.test_decisions import decide, register
from tests.schema.test_documents import FULL_SET
from tests.uploading import with_documents

NODE = """
query Node($id: ID!) {
  node(id: $id) {
    __typename id
    ... on Team { code captain { phone } history { action } }
    ... on Player { code role dateOfBirth }
    ... on Document { format link { url } }
    ... on Church { name teamsRegistered }
    ... on Tournament { venue registration { state taken } }
    ... on AuditEvent { action teamCode }
    ... on Delivery { attempts teamCode }
    ... on Organiser { accessRole }
    ... on ApiToken { accessRole }
  }
}
"""
IDS = {
    "Team": "SELECT id FROM team WHERE code = 'ICCT-001'",
    "Player": "SELECT p.id FROM player p JOIN team t ON t.id = team_id"
    " WHERE position = 1 AND t.code = 'ICCT-001'",
    "Document": "SELECT d.id FROM document d JOIN team t ON t.id = team_id"
    " WHERE kind = 'PASTOR_LETTER' AND t.code = 'ICCT-001'",
    "Church": "SELECT church_id FROM team WHERE code = 'ICCT-001'",
    "Tournament": "SELECT id FROM tournament",
    "AuditEvent": "SELECT e.id FROM audit_event e JOIN team t ON t.id = team_id"
    " WHERE t.code = 'ICCT-001' AND action = 'team.registered'",
    "Delivery": "SELECT m.id FROM outbox_message m JOIN team t ON t.id = team_id"
    " WHERE t.code = 'ICCT-001' AND kind = 'mail.team_received'",
    "Organiser": "SELECT id FROM organiser WHERE role = 'REVIEWER'",
    "Session": "SELECT s.id FROM organiser_session s JOIN organiser o ON o.id = organiser_id"
    " WHERE o.role = 'REVIEWER'",
}
SEEN = {
    Role.OWNER: set(IDS),
    Role.REVIEWER: set(IDS),
    Role.VIEWER: {"Team", "Player", "Church", "Tournament"},
}
CAPTAIN_SEES = {"Team", "Player", "Document", "Church", "Tournament", "AuditEvent"}


@pytest.fixture
async def captains(client, sql) -> list[dict[str, str]]:
    """Headers of the captains of two teams with all documents."""
    await sql.execute("UPDATE tournament SET required_documents = $1", FULL_SET)
    headers = []
    for number in (1, 2):
        team = await with_documents(
            client, factories.team(number, churchName=f"CSI Church {number}")
        )
        registered = data(await execute(client, factories.REGISTER, {"input": team}))[
            "registerTeam"
        ]
        headers.append({"Authorization": f"Bearer {registered['manageToken']}"})
    return headers


async def seen(client, sql, **headers) -> dict[str, dict]:
    """Return all objects that the caller sees, by their types."""
    objects = {}
    for kind, statement in IDS.items():
        node_id = (await sql.fetchval(statement)).hex
        node = data(await execute(client, NODE, {"id": node_id}, **headers))["node"]
        if node is not None:
            assert (node["__typename"], node["id"]) == (kind, node_id)
            objects[kind] = node
    return objects


async def test_organisers_see_objects_by_their_role(client, services, sql, captains):
    headers = {role: await bearer_headers(services, role) for role in Role}

    for role in Role:
        objects = await seen(client, sql, **headers[role])

        assert set(objects) == SEEN[role]
        assert objects["Church"]["name"] == "CSI Church 1"
        assert objects["Tournament"]["registration"] == {"state": "OPEN", "taken": 2}


async def test_captain_sees_objects_of_the_own_team(client, services, sql, captains):
    await bearer_headers(services, Role.REVIEWER)

    own = await seen(client, sql, **captains[0])
    other = await seen(client, sql, **captains[1])

    assert set(own) == CAPTAIN_SEES
    assert own["Team"]["captain"]["phone"] == factories.person(2)["phone"]
    assert own["AuditEvent"]["action"] == "TEAM_REGISTERED"
    assert own["Document"]["link"] is None
    assert set(other) == {"Church", "Tournament"}


@pytest.mark.parametrize("token", ["icm_nothing", f"icm_{'0' * 32}_1_{'A' * 43}"])
async def test_invalid_manage_token_sees_no_objects(client, sql, captains, token):
    node_id = (await sql.fetchval(IDS["Church"])).hex

    answer = await execute(client, NODE, {"id": node_id}, Authorization=f"Bearer {token}")

    assert error_extensions(answer)["code"] == "UNAUTHENTICATED"


async def test_unclaimed_document_is_invisible(client, services, sql):
    await with_documents(client, factories.team(1))
    node_id = (await sql.fetchval("SELECT id FROM document LIMIT 1")).hex

    answer = await execute(
        client, NODE, {"id": node_id}, **await bearer_headers(services, Role.OWNER)
    )

    assert data(answer)["node"] is None


def test_role_fields_of_nodes_have_one_type():
    implementations = schema._schema.get_implementations(schema._schema.get_type("Node"))
    roles = {
        kind.name: get_named_type(kind.fields["role"].type).name
        for kind in implementations.objects
        if isinstance(kind, GraphQLObjectType) and "role" in kind.fields
    }

    assert roles == {"Player": "PlayerRole"}


def test_every_type_with_an_id_is_a_node():
    kinds = [
        kind
        for kind in schema._schema.type_map.values()
        if isinstance(kind, GraphQLObjectType) and "id" in kind.fields
    ]

    assert [kind.name for kind in kinds if not kind.interfaces] == []


@pytest.mark.parametrize("code", ["ICCT-009", "nonsense", "icct-9", "ICCT-001-P01"])
@pytest.mark.parametrize("selection", ["code name", "code history { action }"])
async def test_team_with_unknown_code_is_null(client, services, code, selection):
    await register(client, 1)
    query = f"query ($code: String) {{ team(code: $code) {{ {selection} }} }}"

    answer = await execute(
        client, query, {"code": code}, **await bearer_headers(services, Role.VIEWER)
    )

    assert data(answer) == {"team": None}


@pytest.mark.parametrize(
    ("name", "root"),
    [
        ("teams", "teams { totalCount }"),
        ("teamStats", "teamStats { total }"),
        ("auditLog", "auditLog { totalCount }"),
        ("deliveries", "deliveries { totalCount }"),
        ("organisers", "organisers { id }"),
        ("sessions", "sessions { id }"),
        ("apiTokens", "apiTokens { id }"),
        ("team", 'team(code: "ICCT-001") { code }'),
        ("player", 'player(code: "ICCT-001-P01") { code }'),
        ("me", "me { id }"),
    ],
)
async def test_refused_root_field_leaves_the_others(client, name, root):
    answer = await execute(client, f"{{ tournament {{ name }} {root} }}")

    assert answer.status_code == 200
    assert answer.json()["data"] == {
        "tournament": {"name": "ICCT26 Cricket Tournament"},
        name: None,
    }
    (error,) = answer.json()["errors"]
    assert (error["path"], error["extensions"]["code"]) == ([name], "UNAUTHENTICATED")


async def test_captains_own_documents_have_no_link_and_no_error(client, captains):
    changed = await execute(
        client,
        "mutation U($input: UpdateMyTeamInput!) { updateMyTeam(input: $input) { team {"
        " version documents { kind link { url } } players { documents { link { url } } } } } }",
        {"input": {"expectedVersion": 1, "teamName": "Tigers"}},
        **captains[0],
    )
    mine = await execute(client, "{ myTeam { documents { link { url } } } }", **captains[0])

    team = data(changed)["updateMyTeam"]["team"]
    assert team["version"] == 2
    assert [document["link"] for document in team["documents"]] == [None] * 3
    assert {tuple(d["link"] for d in player["documents"]) for player in team["players"]} == {
        (None, None)
    }
    assert data(mine)["myTeam"]["documents"] == [{"link": None}] * 3


async def test_history_is_read_again_after_each_mutation(client, reviewer):
    await register(client, 1)
    step = "team { version history { action } }"
    document = f"""mutation Both($confirm: ConfirmTeamInput!, $reopen: ReopenTeamInput!) {{
      first: confirmTeam(input: $confirm) {{ {step} }}
      second: reopenTeam(input: $reopen) {{ {step} }}
    }}"""
    variables = {
        "confirm": {"teamId": "ICCT-001", "expectedVersion": 1},
        "reopen": {"teamId": "ICCT-001", "expectedVersion": 2, "reason": "By mistake"},
    }

    answered = data(await execute(client, document, variables, **reviewer))

    first, second = (answered[name]["team"] for name in ("first", "second"))
    actions = [event["action"] for event in second["history"]]
    assert (first["version"], second["version"]) == (2, 3)
    assert len(actions) == 3
    assert [event["action"] for event in first["history"]] == actions[:2]
    assert data(await decide(client, reviewer, TeamAction.CONFIRM, version=3))
