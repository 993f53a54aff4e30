"""Attacks for `hostile.py`. Each has a name and a step, which one client repeats all the time.

To add an attack, write a function that builds the request for a number, and add it to `ATTACKS`.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import cycle
from typing import Any

import httpx

from benchmarks.attack_files import many_objects, many_scans
from tests import factories
from tests.hostile.corpus import CORPUS

EXPECTED_SERVER_ERRORS = frozenset({503, 504})
VALIDATE = factories.VALIDATE
REGISTER = factories.REGISTER
SIGN_IN = "mutation S($input: SignInInput!) { signIn(input: $input) { token } }"
OPEN = "mutation O($input: OpenUploadInput!) { openUpload(input: $input) { ticket { url } } }"
UPDATE = """
mutation U($input: UpdateTournamentInput!) { updateTournament(input: $input) { __typename } }
"""
TEAMS = """
query T($at: DateTime) { teams(filter: {registeredFrom: $at}, first: 1) { nodes { code } } }
"""
CREATE_TOKEN = """
mutation C($input: CreateApiTokenInput!) { createApiToken(input: $input) { __typename } }
"""
EDIT = "mutation E($input: UpdateMyTeamInput!) { updateMyTeam(input: $input) { __typename } }"
HEALTH = "{ health { status } }"


@dataclass(slots=True)
class Attacker:
    """One attacking client. `unintended` lists responses that must not happen, such as a 500."""

    client: httpx.AsyncClient
    owner_token: str
    uploads: list[str] = field(default_factory=list)
    has_all_uploads: bool = False
    manage_token: str = ""
    answers: int = 0
    unintended: list[str] = field(default_factory=list)

    async def send(
        self,
        method: str = "POST",
        path: str = "/graphql",
        content: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response | None:
        """Send a request. Returns None if the connection was closed."""
        try:
            answer = await self.client.request(method, path, content=content, headers=headers)
        except httpx.TransportError:
            return None
        self.answers += 1
        if (answer.status_code >= 500 and answer.status_code not in EXPECTED_SERVER_ERRORS) or (
            b'"code":"INTERNAL"' in answer.content
        ):
            self.unintended.append(f"{answer.status_code} {answer.text[:120]}")
        return answer

    async def ask(
        self, query: str, variables: object = None, **headers: str
    ) -> httpx.Response | None:
        # As ASCII, so that lone surrogates can be sent too.
        content = json.dumps({"query": query, "variables": variables}).encode()
        return await self.send(content=content, headers=JSON | headers)


JSON = {"Content-Type": "application/json"}
Step = Callable[[Attacker, int], Awaitable[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """An attack, repeated on several connections at once."""

    name: str
    step: Step
    connections: int = 8
    # For a server that accepts only trusted documents.
    is_trusted_only: bool = False


def graphql_step(
    document: str | Callable[[int], str], variables: Callable[[int], Any] | None = None
) -> Step:
    """Return a step that sends a GraphQL document, which may depend on the number."""

    async def step(attacker: Attacker, number: int) -> None:
        query = document(number) if callable(document) else document
        await attacker.ask(query, variables(number) if variables else None)

    return step


def http_step(
    content: Callable[[int], bytes] = lambda _: json.dumps({"query": HEALTH}).encode(),
    headers: Callable[[int], dict[str, str]] = lambda _: {},
    *,
    method: str = "POST",
    path: Callable[[int], str] = lambda _: "/graphql",
) -> Step:
    """Return a step that sends an HTTP request."""

    async def step(attacker: Attacker, number: int) -> None:
        body = content(number) if method == "POST" else b""
        await attacker.send(method, path(number), body, JSON | headers(number))

    return step


def form(**changes: object) -> Callable[[int], dict[str, Any]]:
    return lambda number: {"input": factories.team(number) | changes}


DATE_TIMES = (
    *("9999-12-31T23:59:59.9999999Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00"),
    *("9999-12-31T23:59:59-12:00", "2027-01-31", "2027-W05-1", "20270131", "infinity"),
)
TEXTS = ("a\0b", "\ud83c", "x" * 499 + "\ud83c", "\0" * 400)


async def date_times(attacker: Attacker, number: int) -> None:
    date_time = DATE_TIMES[number % len(DATE_TIMES)]
    field_name = ("opensAt", "closesAt")[number // len(DATE_TIMES) % 2]
    owner = {"Authorization": f"Bearer {attacker.owner_token}"}
    await attacker.ask(UPDATE, {"input": {field_name: date_time}}, **owner)
    await attacker.ask(TEAMS, {"at": date_time}, **owner)


async def texts(attacker: Attacker, number: int) -> None:
    text = TEXTS[number % len(TEXTS)]
    owner = {"Authorization": f"Bearer {attacker.owner_token}"}
    await attacker.ask(UPDATE, {"input": {"timeZone": text}}, **owner)
    await attacker.ask(VALIDATE, form(teamName=text)(number))


def marks(length: int) -> str:
    """Return a letter with combining marks, `length` characters in all."""
    return ("a" + "\u0301\u0316" * length)[:length]


def one_variable_everywhere(number: int) -> str:
    """Return a document that validates the same form ten times."""
    fields = " ".join(
        f"a{index}: validateTeam(input: $input) {{ issues {{ pointer code message params }} }}"
        for index in range(10)
    )
    return f"query Q{number}($input: RegisterTeamInput!) {{ {fields} }}"


def wrong_squad(number: int) -> dict[str, Any]:
    return {"input": factories.team(number) | {"players": [{"name": "?"}] * 400}}


def refused_document(number: int) -> str:
    kinds = (
        "{ " + " ".join(f"f{number}x{index:022}" for index in range(1_500)) + " }",
        f"#{number}\n" + "#\n" * 24_000 + "{ nothing }",
        f"{number} ".ljust(49_900, "{"),
    )
    return kinds[number % len(kinds)]


def differing_headers(number: int) -> dict[str, str]:
    padding = f"{number}".ljust(4_000, "x")
    return {
        "Accept": f"application/json;a={padding}",
        "Accept-Encoding": f"br, {padding}",
        "Content-Type": f"application/json;a={padding}",
        "Origin": f"https://{padding}.example",
        "Cookie": f"a={padding}",
    }


def aliases(number: int) -> str:
    """Return a document with ten password guesses."""
    fields = " ".join(
        f'a{index}: signIn(input: {{email: "owner@example.org", password: "{number} {index}"}})'
        " { token }"
        for index in range(10)
    )
    return f"mutation {{ {fields} }}"


async def one_byte_uploads(attacker: Attacker, number: int) -> None:
    """Start as many uploads of 5 MiB as allowed, with one byte each, then continue them."""
    size, count = 5 << 20, 60
    if not attacker.has_all_uploads:
        url = await _open_upload(attacker, "PHOTO", size, f"{number:064x}")
        if url is not None:
            attacker.uploads.append(url)
            await _put(attacker, url, b"\xff", 0, size)
        attacker.has_all_uploads = url is None or len(attacker.uploads) >= count
        return
    url = attacker.uploads[number % len(attacker.uploads)]
    status = await attacker.send("HEAD", url)
    start = int(status.headers.get("Upload-Offset", size)) if status is not None else size
    length = min(512 << 10, size - start)
    if length:
        await _put(attacker, url, bytes(length), start, size)


async def token_names(attacker: Attacker, _number: int) -> None:
    token = {"name": marks(24_000), "role": "VIEWER"}
    owner = {"Authorization": f"Bearer {attacker.owner_token}"}
    await attacker.ask(CREATE_TOKEN, {"input": token}, **owner)


async def captains_edits(attacker: Attacker, number: int) -> None:
    """Register a team, then edit it with names that consist of combining marks."""
    if not attacker.manage_token:
        answer = await attacker.ask(REGISTER, {"input": factories.team(6_000_000 + number)})
        registered = (answer.json().get("data") or {}).get("registerTeam") if answer else None
        attacker.manage_token = registered["manageToken"] if registered else ""
        return
    person = {"name": marks(12_000), "phone": "98765 43210", "email": marks(6_000)}
    changes = {"expectedVersion": 1, "teamName": marks(12_000), "captain": person}
    captain = {"Authorization": f"Bearer {attacker.manage_token}"}
    await attacker.ask(EDIT, {"input": changes}, **captain)


def upload_step(kind: str, content_type: str, files: list[bytes]) -> Step:
    """Return a step that uploads one of the files."""

    async def step(attacker: Attacker, number: int) -> None:
        content = files[number % len(files)]
        digest = sha256(content).hexdigest()
        url = await _open_upload(attacker, kind, len(content), digest, content_type=content_type)
        if url is not None:
            await attacker.send("PUT", url, content)

    return step


async def _open_upload(
    attacker: Attacker, kind: str, size: int, digest: str, *, content_type: str = "image/jpeg"
) -> str | None:
    """Return the URL of a new upload ticket; None if it is refused."""
    name = "letter.pdf" if content_type.endswith("pdf") else "photo.jpg"
    upload = {"kind": kind, "fileName": name, "contentType": content_type, "byteSize": size}
    answer = await attacker.ask(OPEN, {"input": upload | {"sha256": digest}})
    if answer is None:
        return None
    opened = (answer.json().get("data") or {}).get("openUpload")
    return str(opened["ticket"]["url"]) if opened else None


async def _put(attacker: Attacker, url: str, content: bytes, start: int, size: int) -> None:
    end = start + len(content) - 1
    await attacker.send("PUT", url, content, {"Content-Range": f"bytes {start}-{end}/{size}"})


_corpus = cycle(CORPUS)


async def corpus(attacker: Attacker, _number: int) -> None:
    _name, case = next(_corpus)
    await attacker.send(case.method, case.path, case.content, dict(case.headers))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


_PERSISTED = {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "0" * 64}}}
_NAMED = {"query": "query A { health { status } }", "operationName": "B"}
_SKIPPED = OPEN.replace("(input: $input)", "(input: $input) @skip(if: true)")
_GET = "/graphql?query=mutation%7BsignOut%7B__typename%7D%7D"

ATTACKS: tuple[Attack, ...] = (
    Attack(name="date-times", step=date_times),
    Attack(name="NUL and lone surrogates", step=texts),
    Attack(
        name="non-ASCII token, argument",
        step=graphql_step(
            "query T($t: String) { myTeam(token: $t) { code } }",
            lambda number: {"t": f"icm_{number:032x}_1_{'é' * 43}"},
        ),
    ),
    Attack(
        name="non-ASCII token, header",
        step=http_step(headers=lambda number: bearer(f"ict_{number}{'%C3%A9' * 40}")),
    ),
    Attack(name="marks, 48 KB", step=graphql_step(VALIDATE, form(teamName=marks(24_000)))),
    Attack(name="marks, 160 KB", step=graphql_step(VALIDATE, form(teamName=marks(80_000)))),
    Attack(
        name="marks in a player's name",
        step=graphql_step(VALIDATE, form(players=[{"name": marks(24_000)}] * 3)),
    ),
    Attack(name="marks in a search", step=graphql_step(
        "query C($s: String) { churches(search: $s) { totalCount } }",
        lambda _: {"s": marks(24_000)},
    )),
    Attack(name="marks in a password", step=graphql_step(
        SIGN_IN, lambda _: {"input": {"email": "owner@example.org", "password": marks(24_000)}}
    )),
    Attack(name="marks in a token's name", step=token_names),
    Attack(name="marks in a captain's edit", step=captains_edits),
    Attack(name="one variable everywhere", step=graphql_step(one_variable_everywhere, wrong_squad)),
    Attack(name="unknown operation", step=http_step(lambda _: json.dumps(_NAMED).encode())),
    Attack(name="mutation by GET", step=http_step(method="GET", path=lambda _: _GET)),
    Attack(name="subscription", step=graphql_step("subscription { health { status } }")),
    Attack(name="broken JSON", step=http_step(lambda number: b"[" * 90_000 + b"%d" % number)),
    Attack(name="unknown hash", step=http_step(lambda _: json.dumps(_PERSISTED).encode())),
    Attack(name="skipped openUpload", step=graphql_step(_SKIPPED, lambda _: {"input": {
        "kind": "PHOTO", "fileName": "a.jpg", "contentType": "image/jpeg", "byteSize": 1,
        "sha256": "0" * 64,
    }})),
    Attack(
        name="unknown bearers",
        step=http_step(headers=lambda number: bearer(f"ict_{number:043}")),
    ),
    Attack(name="one-byte uploads", step=one_byte_uploads),
    Attack(name="JPEG of 64 scans", step=upload_step(
        "PHOTO", "image/jpeg", [many_scans(b"%d" % number) for number in range(8)]
    )),
    Attack(name="slow PDF", step=upload_step(
        "PASTOR_LETTER", "application/pdf", [many_objects(b"%d" % number) for number in range(2)]
    )),
    Attack(name="refused documents of 50 KB", step=graphql_step(refused_document)),
    Attack(name="different headers", step=http_step(headers=differing_headers)),
    Attack(name="wrong passwords", step=graphql_step(
        SIGN_IN, lambda number: {"input": {"email": "owner@example.org", "password": f"{number}"}}
    )),
    Attack(name="aliases of mutations", step=graphql_step(aliases)),
    Attack(name="registrations by aliases", step=graphql_step(
        lambda _: "mutation R($input: RegisterTeamInput!) { "
        + " ".join(f"a{index}: registerTeam(input: $input) {{ replayed }}" for index in range(10))
        + " }",
        lambda number: {"input": factories.team(5_000_000 + number)},
    )),
    Attack(name="corpus of single requests", step=corpus),
    Attack(
        name="untrusted documents", step=graphql_step(refused_document), is_trusted_only=True
    ),
    Attack(
        name="short untrusted documents",
        step=graphql_step(lambda number: f"{{ a{number}: health {{ status }} }}"),
        is_trusted_only=True,
    ),
)  # fmt: skip
