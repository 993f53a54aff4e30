"""Hostile requests: documents, bodies, paths, headers, foreign pages, files."""

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from tests import factories
from tests.hostile.response_checks import CANARY

JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    name: str
    method: str = "POST"
    path: str = "/graphql"
    headers: Mapping[str, str] = field(default_factory=lambda: dict(JSON))
    content: bytes = b""


def query(name: str, document: str, variables: object = None, **headers: str) -> Case:
    body = {"query": document, "variables": variables}
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return Case(name=name, headers=JSON | named, content=json.dumps(body).encode())


def raw(name: str, content: bytes, **headers: str) -> Case:
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return Case(name=name, headers=JSON | named, content=content)


def bomb(depth: int) -> str:
    """Return fragments that double at every level: 2 ** depth fields in a kilobyte."""
    parts = [f"fragment F{n} on Tournament {{ ...F{n + 1} ...F{n + 1} }}" for n in range(depth)]
    return (
        "{ tournament { ...F0 } } " + " ".join(parts) + f" fragment F{depth} on Tournament {{ id }}"
    )


def documents() -> Iterator[Case]:
    yield query("nothing", "")
    yield query("no operation", "fragment F on Query { health { status } }")
    yield query("unclosed", "{" * 5_000)
    yield query("deep lists", "{ a(b: " + "[" * 5_000 + "]" * 5_000 + ") }")
    yield query(
        "deep fields",
        "{ node(id: 1) " + "{ ... on Team { players { team " * 60 + "{ id" + " } } } }" * 60 + " }",
    )
    yield query(
        "ten thousand aliases", "{ " + " ".join(f"a{n}: __typename" for n in range(10_000)) + " }"
    )
    yield query("sixteen aliases", "{ " + " ".join(f"a{n}: __typename" for n in range(16)) + " }")
    yield query("one field often", "{ " + "__typename " * 1_900 + "}")
    yield query("many directives", "{ __typename " + "@skip(if: false) " * 600 + "}")
    yield query(
        "many variables",
        "query (" + ", ".join(f"$v{n}: Int" for n in range(400)) + ") { __typename }",
    )
    yield query("exponential fragments", bomb(40))
    yield query("a fragment of itself", "{ ...A } fragment A on Query { ...A }")
    yield query(
        "fragments in a ring", "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }"
    )
    yield query(
        "a ring with fields",
        "{ tournament { ...A } } fragment A on Tournament { id ...B }"
        " fragment B on Tournament { name ...A }",
    )
    yield query(
        "unused fragments",
        "{ __typename } "
        + " ".join(f"fragment F{n} on Query {{ __typename }}" for n in range(180)),
    )


def odd_documents() -> Iterator[Case]:
    yield query("unknown fragment", "{ ...Nothing }")
    yield query("wrong type condition", "{ ... on Nothing { id } }")
    yield query("a subscription", "subscription { teams { code } }")
    yield query("two operations", "query A { __typename } query B { __typename }")
    yield query("two of one name", "query A { __typename } query A { __typename }")
    yield query(
        "the schema", "{ __schema { types { fields { type { ofType { fields { name } } } } } } }"
    )
    yield query(
        "a ring of types",
        '{ __type(name: "Team") ' + "{ fields { type " * 20 + "{ name" + " } } }" * 20 + " }",
    )
    yield query("a hundred thousand tokens", "{ " + "a " * 100_000 + "}")
    yield query("a long name", "{ " + "a" * 100_000 + " }")
    yield query("a long text", '{ churches(search: "' + "a" * 100_000 + '") { totalCount } }')
    yield query("a long comment", "{ __typename } #" + "x" * 200_000)
    yield query("a block text", '{ churches(search: """' + '\\n"' * 3_000 + '""") { totalCount } }')
    yield query("a NUL", "{ __typename }\0")
    yield query("a mark of byte order", "\ufeff{ __typename }")
    yield query("signs of direction", "{ __typename \u202e }")
    yield query("an escape out of range", '{ churches(search: "\\u{110000}") { totalCount } }')
    yield query("half a character", '{ churches(search: "\\ud800") { totalCount } }')
    yield query("a number without end", "{ churches(first: " + "9" * 10_000 + ") { totalCount } }")
    yield query("a huge exponent", "{ churches(first: 1e999999) { totalCount } }")
    yield query("a page of minus one", "{ churches(first: -1) { totalCount } }")
    yield query(
        "signIn ten times",
        "mutation { "
        + " ".join(
            f'a{n}: signIn(input: {{email: "a@example.org", password: "{CANARY}"}}) {{ token }}'
            for n in range(10)
        )
        + " }",
    )
    yield query(
        "expensive pages",
        "{ teams(first: 100) { nodes { players { team { players { team { code } } } } } } }",
    )


def variables() -> Iterator[Case]:
    register = factories.REGISTER
    team = factories.team(1)
    wrong = {
        "a number": 7,
        "a text": CANARY,
        "a list": [team],
        "null": None,
        "an empty object": {},
        "a deep object": json.loads("[" * 500 + "]" * 500),
    }
    for name, value in wrong.items():
        yield query(f"the input is {name}", register, {"input": value})
    leaves = {
        "an object": {CANARY: 1},
        "a list": [[CANARY]],
        "a number": 2**70,
        "a float": 1e308,
        "true": True,
        "a NUL": f"a\0{CANARY}",
        "half a character": "\ud800",
        "signs of direction": "\u202e\u2066\u2069\u200f",
        "SQL": f"'; DROP TABLE team; -- {CANARY}",
        "a template": "{{7*7}}${7*7}<%= 7 %>",
        "a page": f"<script>{CANARY}</script>",
        "a header": f"a\r\nSet-Cookie: {CANARY}",
        "long": "a" * 100_000,
        "many marks": "a" + "\u0301" * 20_000,
        "an Aadhaar number": "2341 2341 2346",
    }
    for name, value in leaves.items():
        yield query(f"the team is called {name}", register, {"input": team | {"teamName": value}})
        person = factories.person(1, email=value, phone=value)
        yield query(
            f"the captain's contact is {name}", register, {"input": team | {"captain": person}}
        )
    yield query(
        "ten thousand players", register, {"input": team | {"players": [{"name": "A"}] * 5_000}}
    )
    yield query("an unknown field", register, {"input": team | {CANARY: CANARY}})
    yield query("variables that nobody declared", "{ __typename }", {CANARY: CANARY})


def bodies() -> Iterator[Case]:
    scalars = {
        "a number": b"7",
        "a text": b'"x"',
        "null": b"null",
        "true": b"true",
        "a list": b"[]",
    }
    for name, content in scalars.items():
        yield raw(f"the body is {name}", content)
    yield raw("nothing", b"")
    yield raw("an unclosed object", b'{"query": "{ __typename }"')
    yield raw("two objects", b'{"query": "{ __typename }"}{}')
    yield raw("ten thousand lists", b"[" * 10_000 + b"]" * 10_000)
    yield raw("ten thousand objects", b'{"a":' * 10_000 + b"1" + b"}" * 10_000)
    yield raw(
        "ten thousand digits",
        b'{"query": "{ __typename }", "variables": {"a": ' + b"9" * 10_000 + b"}}",
    )
    yield raw("not a number", b'{"query": "{ __typename }", "variables": {"a": NaN}}')
    yield raw("infinity", b'{"query": "{ __typename }", "variables": {"a": -Infinity}}')
    yield raw("no UTF-8", b'{"query": "\xff\xfe"}')
    yield raw("UTF-16", '{"query": "{ __typename }"}'.encode("utf-16"))
    yield raw("a mark of byte order", b"\xef\xbb\xbf" + b'{"query": "{ __typename }"}')
    yield raw("packed", gzip.compress(b'{"query": "{ __typename }"}'))
    yield raw(
        "packed and said so", gzip.compress(b'{"query": "{ __typename }"}'), Content_Encoding="gzip"
    )
    yield raw("a bomb", gzip.compress(b"[" * 10_000_000), Content_Encoding="gzip")
    yield raw("a megabyte", b" " * 1_000_000)
    yield raw("a batch", b'[{"query": "{ __typename }"}, {"query": "{ __typename }"}]')
    yield raw("query is a list", b'{"query": ["{ __typename }"]}')
    yield raw("variables are a text", b'{"query": "{ __typename }", "variables": "{}"}')
    yield raw("extensions are a list", b'{"query": "{ __typename }", "extensions": []}')
    yield raw("operationName is an object", b'{"query": "{ __typename }", "operationName": {}}')
    yield raw("one key twice", b'{"query": "{ a }", "query": "{ __typename }"}')
    yield raw("a prototype", b'{"__proto__": {"query": "{ __typename }"}}')
    for kind in (
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
        "application/xml",
    ):
        yield Case(
            name=f"as {kind}",
            headers={"Content-Type": kind},
            content=b'{"query": "{ __typename }"}',
        )


def headers() -> Iterator[Case]:
    me = "{ me { email } }"
    tokens = {
        "nothing": "Bearer ",
        "another scheme": f"Basic {CANARY}",
        "long": "Bearer " + "a" * 20_000,
        "a session that never was": "Bearer ics_" + "a" * 43,
        "an API token that never was": "Bearer ict_" + "a" * 43,
        "a captain's that never was": "Bearer icm_" + "0" * 32 + "_1_" + "a" * 43,
        "two": "Bearer a, Bearer b",
    }
    for name, value in tokens.items():
        yield query(f"the token is {name}", me, Authorization=value)
    yield query("another's cookie", me, Cookie=f"icct26={CANARY}; __Host-icct26={CANARY}")
    yield query("another host", me, Host="evil.example")
    yield query("a host with a path", me, Host="localhost/@evil.example")
    yield query("forwarded from here", me, X_Forwarded_For="127.0.0.1")
    yield query("a request id of a line", me, X_Request_ID=f"a b {CANARY}")
    yield query("a long request id", me, X_Request_ID="a" * 5_000)
    yield query("an identity number as request id", me, X_Request_ID="234123412346")
    yield query("a key with signs", me, Idempotency_Key="\x7f" * 10)
    yield query("another method in a header", me, X_HTTP_Method_Override="DELETE")
    yield query("accepts nothing", me, Accept="image/*")
    yield query("accepts nonsense", me, Accept=";;;q=,,,")
    yield query("asks for a range", me, Range="bytes=0-999999999999")
    yield query("a trace of nonsense", me, traceparent="00-" + "g" * 32 + "-x-zz")


def pages_of_others() -> Iterator[Case]:
    """Yield requests of foreign pages; the test adds an organiser's cookie."""
    change = 'mutation { updateTournament(input: {name: "Stolen"}) { tournament { name } } }'
    yield query("another page", change, Origin="https://evil.example")
    yield query("no page", change, Origin="null")
    yield query("nothing at all", change)
    yield query("a page that begins alike", change, Origin="http://localhost.evil.example")
    plain = Case(
        name="a form",
        headers={"Content-Type": "text/plain"},
        content=json.dumps({"query": change}).encode(),
    )
    yield plain
    yield Case(
        name="an address",
        method="GET",
        path=f"/graphql?query={change.replace(' ', '%20')}",
        headers={},
    )


def addresses() -> Iterator[Case]:
    for path in (
        "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/graphql/", "//graphql", "/graphql%00",
        "/GRAPHQL", "/.git/config", "/.env", "/admin", "/files/../../x", "/files/" + "a" * 5_000,
        "/exports/" + "." * 100, "/uploads/nothing", "/errors?x=<script>", "/metrics/../graphql",
        f"/{CANARY}", "/graphql?query=%ff", "/graphql?query={__typename}&query={x}",
        "/graphql?query={__typename}&variables=[1", "/graphql?query={__typename}&variables=7",
    ):  # fmt: skip
        yield Case(name=f"GET {path[:40]}", method="GET", path=path, headers={})
    for method in ("TRACE", "CONNECT", "PROPFIND", "PATCH", "DELETE", "PUT", "OPTIONS"):
        yield Case(name=f"{method} /graphql", method=method, headers={})
    yield Case(
        name="PUT a file nowhere", method="PUT", path="/uploads/x", headers={}, content=b"MZ"
    )


FAMILIES: Mapping[str, Callable[[], Iterator[Case]]] = {
    "documents": documents,
    "odd documents": odd_documents,
    "variables": variables,
    "bodies": bodies,
    "headers": headers,
    "addresses": addresses,
}
CORPUS = [
    (f"{family}: {case.name}", case) for family, cases in FAMILIES.items() for case in cases()
]
