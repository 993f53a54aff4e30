"""A database whose certificate is not trusted, or that has no SSL, is said to be that at once."""

import ssl
import struct
from asyncio import StreamReader, StreamWriter, start_server
from contextlib import asynccontextmanager

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from config.database_url import asyncpg_url
from persistence.engine.database import Database, DatabaseUnavailable
from persistence.engine.engine import DatabaseOptions
from tests.certificates import create_certificate
from tests.postgres_proxy import STARTING_UP, fatal
from tests.processes import run_cli

SSL_REQUEST = struct.pack("!ii", 8, 80877103)
AUTHORITY = create_certificate("authority", is_authority=True)
STRANGER = create_certificate("stranger", is_authority=True)
BETWEEN = create_certificate("between", AUTHORITY, is_authority=True)
ELSEWHERE = "its certificate is from an authority that is not trusted here"
NO_AUTHORITIES = (
    "sslmode requires checking its certificate, but the file with the certificates of trusted"
    " authorities (PGSSLROOTCERT, or ~/.postgresql/root.crt) cannot be read"
)
UNTRUSTED = {
    "expired": (
        (create_certificate("expired", AUTHORITY, from_days=-9, until_days=-1),),
        "has expired",
    ),
    "not valid yet": (
        (create_certificate("early", AUTHORITY, from_days=2),),
        "is not valid yet: compare the clocks",
    ),
    "self-signed": ((create_certificate("own"),), "is self-signed and not trusted here"),
    "of another authority": ((create_certificate("other", STRANGER),), ELSEWHERE),
    "of another authority that is shown": (
        (create_certificate("other", STRANGER), STRANGER),
        ELSEWHERE,
    ),
    "without the one between": ((create_certificate("deep", BETWEEN),), ELSEWHERE),
    "of an authority that is none": (
        (create_certificate("under", create_certificate("none")),),
        ELSEWHERE,
    ),
    "of a client": (
        (create_certificate("client", AUTHORITY, usage=ExtendedKeyUsageOID.CLIENT_AUTH),),
        "is not a server certificate",
    ),
    "for another address": (
        (create_certificate("far", AUTHORITY, hosts=("10.0.0.1",)),),
        "is for another address",
    ),
    "for a name": (
        (create_certificate("name", AUTHORITY, hosts=("db.example",)),),
        "is for another address",
    ),
}


class Server:
    """Answers SSLRequest as PostgreSQL does; behind it, every connection hears the same.

    Without a `context` it offers no SSL, or says `nonsense` where it should agree on it.
    """

    def __init__(
        self,
        context: ssl.SSLContext | None = None,
        nonsense: bytes = b"",
        reply: bytes = STARTING_UP,
    ) -> None:
        self._context = context
        self._reply = reply
        self._nonsense = nonsense
        self.connections = 0

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.connections += 1
        try:
            if await reader.readexactly(8) == SSL_REQUEST:
                writer.write(b"S" if self._context or self._nonsense else b"N")
                if self._nonsense:
                    await reader.read(1)
                    writer.write(self._nonsense)
                if self._context is not None:
                    await writer.start_tls(self._context)
            writer.write(self._reply)
            await writer.drain()
        except (OSError, EOFError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(server: Server):
    """The address of the server, to which a mode is added."""
    listening = await start_server(server.serve, "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        yield f"postgresql://icct26:hunter2hunter2@127.0.0.1:{port}/icct26?sslmode="


@pytest.fixture(autouse=True)
def authorities(tmp_path, monkeypatch):
    """The file that names the only trusted authority."""
    path = tmp_path / "root.crt"
    path.write_bytes(AUTHORITY.pem)
    monkeypatch.setenv("PGSSLROOTCERT", str(path))
    return path


def context_of(tmp_path, *chain) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain[0].write(tmp_path / "server.pem", *chain[1:]))
    return context


async def refusal(url: str) -> str:
    database = Database(DatabaseOptions(url=asyncpg_url(url)))
    try:
        with pytest.raises(DatabaseUnavailable) as refused:
            await database.wait_until_ready()
    finally:
        await database.close()
    return str(refused.value)


@pytest.mark.parametrize(("chain", "reason"), UNTRUSTED.values(), ids=UNTRUSTED.keys())
async def test_untrusted_certificate_is_named_and_not_waited_for(tmp_path, chain, reason):
    server = Server(context_of(tmp_path, *chain))

    async with serving(server) as url:
        said = await refusal(url + "verify-full")

    assert said == (reason if reason == ELSEWHERE else f"its certificate {reason}")
    assert server.connections == 1


async def test_certificate_of_another_host_name_is_named(tmp_path):
    server = Server(
        context_of(tmp_path, create_certificate("name", AUTHORITY, hosts=("db.example",)))
    )

    async with serving(server) as url:
        said = await refusal(url.replace("@127.0.0.1", "@localhost") + "verify-full")

    assert said == "its certificate is for another host name"


@pytest.mark.parametrize("kind", ["expired", "self-signed", "of another authority"])
async def test_verify_ca_checks_all_but_the_name(tmp_path, kind):
    chain, reason = UNTRUSTED[kind]

    async with serving(Server(context_of(tmp_path, *chain))) as url:
        said = await refusal(url + "verify-ca")

    assert said == (reason if reason == ELSEWHERE else f"its certificate {reason}")


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
async def test_server_without_ssl_is_said_to_be_that_where_it_is_required(mode):
    async with serving(Server()) as url:
        assert await refusal(url + mode) == "it offers no SSL, which sslmode requires"


@pytest.mark.parametrize(
    "content", [None, b"missing", b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\n!\n"]
)
@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
async def test_file_of_authorities_that_cannot_be_read_is_named(authorities, content, mode):
    authorities.unlink()
    if content is None:
        authorities.mkdir()
    elif content == b"missing":
        pass
    else:
        authorities.write_bytes(content)

    async with serving(Server()) as url:
        assert await refusal(url + mode) == NO_AUTHORITIES


async def test_missing_file_of_authorities_in_the_home_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("PGSSLROOTCERT")
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))

    async with serving(Server()) as url:
        assert await refusal(url + "verify-full") == NO_AUTHORITIES


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", bytes(32)])
async def test_server_that_speaks_no_tls_is_said_to_agree_on_nothing(said):
    async with serving(Server(nonsense=said)) as url:
        assert await refusal(url + "require") == "no TLS connection can be negotiated with it"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (b"no encryption", "it allows this login only with SSL, which sslmode turns off"),
        (b"SSL off", "it allows this login only with SSL, which sslmode turns off"),
        (b"SSL encryption", "no rule of its pg_hba.conf allows this login"),
    ],
)
async def test_server_that_asks_for_ssl_is_said_to_be_that(words, reason):
    said = b'no pg_hba.conf entry for host "10.0.0.9", user "icct26", database "icct26", ' + words

    async with serving(Server(reply=fatal(b"28000", said))) as url:
        assert await refusal(url + "disable") == reason


async def test_start_says_so_at_once_without_the_password(tmp_path, authorities):
    server = Server(context_of(tmp_path, create_certificate("own")))

    async with serving(server) as url:
        done = await run_cli(
            tmp_path, "serve", DATABASE_URL=url + "verify-full", PGSSLROOTCERT=str(authorities)
        )

    assert done.stderr == (
        "The database answers, but its certificate is self-signed and not trusted here."
        " Check DATABASE_URL.\n"
    )
    assert (done.returncode, done.stdout, server.connections) == (1, "", 1)
