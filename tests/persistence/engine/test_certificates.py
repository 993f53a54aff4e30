"""Error messages for databases with untrusted certificates or without SSL, without retries."""

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
from tests.server_processes import run_cli

SSL_REQUEST = struct.pack("!ii", 8, 80877103)
AUTHORITY = create_certificate("authority", is_authority=True)
STRANGER = create_certificate("stranger", is_authority=True)
INTERMEDIATE = create_certificate("intermediate", AUTHORITY, is_authority=True)
UNKNOWN_AUTHORITY = "its certificate is from an authority that is not trusted here"
NO_ROOT_CERTIFICATES = (
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
    "of another authority": ((create_certificate("other", STRANGER),), UNKNOWN_AUTHORITY),
    "of another authority that is sent": (
        (create_certificate("other", STRANGER), STRANGER),
        UNKNOWN_AUTHORITY,
    ),
    "without the intermediate": ((create_certificate("deep", INTERMEDIATE),), UNKNOWN_AUTHORITY),
    "of a certificate that is no authority": (
        (create_certificate("under", create_certificate("none")),),
        UNKNOWN_AUTHORITY,
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
    """A server that answers SSLRequest as PostgreSQL does, then sends `reply` on every connection.

    Without a `context` it offers no SSL, or sends `nonsense` instead of the TLS handshake.
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
    """The URL of the server up to `sslmode=`."""
    listener = await start_server(server.serve, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        yield f"postgresql://icct26:hunter2hunter2@127.0.0.1:{port}/icct26?sslmode="


@pytest.fixture(autouse=True)
def authorities(tmp_path, monkeypatch):
    """The file with the only trusted root certificate."""
    path = tmp_path / "root.crt"
    path.write_bytes(AUTHORITY.pem)
    monkeypatch.setenv("PGSSLROOTCERT", str(path))
    return path


def ssl_context(tmp_path, *chain) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain[0].write(tmp_path / "server.pem", *chain[1:]))
    return context


async def start_error(url: str) -> str:
    database = Database(DatabaseOptions(url=asyncpg_url(url)))
    try:
        with pytest.raises(DatabaseUnavailable) as raised:
            await database.wait_until_ready()
    finally:
        await database.close()
    return str(raised.value)


@pytest.mark.parametrize(("chain", "reason"), UNTRUSTED.values(), ids=UNTRUSTED.keys())
async def test_untrusted_certificate_is_reported_without_a_retry(tmp_path, chain, reason):
    server = Server(ssl_context(tmp_path, *chain))

    async with serving(server) as url:
        message = await start_error(url + "verify-full")

    assert message == (reason if reason == UNKNOWN_AUTHORITY else f"its certificate {reason}")
    assert server.connections == 1


async def test_certificate_of_another_host_name_is_reported(tmp_path):
    server = Server(
        ssl_context(tmp_path, create_certificate("name", AUTHORITY, hosts=("db.example",)))
    )

    async with serving(server) as url:
        message = await start_error(url.replace("@127.0.0.1", "@localhost") + "verify-full")

    assert message == "its certificate is for another host name"


@pytest.mark.parametrize("kind", ["expired", "self-signed", "of another authority"])
async def test_verify_ca_checks_everything_but_the_name(tmp_path, kind):
    chain, reason = UNTRUSTED[kind]

    async with serving(Server(ssl_context(tmp_path, *chain))) as url:
        message = await start_error(url + "verify-ca")

    assert message == (reason if reason == UNKNOWN_AUTHORITY else f"its certificate {reason}")


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
async def test_server_without_ssl_is_reported_if_ssl_is_required(mode):
    async with serving(Server()) as url:
        assert await start_error(url + mode) == "it offers no SSL, which sslmode requires"


@pytest.mark.parametrize(
    "content", [None, b"missing", b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\n!\n"]
)
@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
async def test_unreadable_root_certificate_file_is_reported(authorities, content, mode):
    authorities.unlink()
    if content is None:
        authorities.mkdir()
    elif content == b"missing":
        pass
    else:
        authorities.write_bytes(content)

    async with serving(Server()) as url:
        assert await start_error(url + mode) == NO_ROOT_CERTIFICATES


async def test_missing_root_certificate_in_the_home_folder_is_reported(tmp_path, monkeypatch):
    monkeypatch.delenv("PGSSLROOTCERT")
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))

    async with serving(Server()) as url:
        assert await start_error(url + "verify-full") == NO_ROOT_CERTIFICATES


@pytest.mark.parametrize("reply", [b"HTTP/1.1 400 Bad Request\r\n\r\n", bytes(32)])
async def test_server_that_does_not_speak_tls_is_reported(reply):
    async with serving(Server(nonsense=reply)) as url:
        assert await start_error(url + "require") == "no TLS connection can be negotiated with it"


@pytest.mark.parametrize(
    ("phrase", "reason"),
    [
        (b"no encryption", "it allows this login only with SSL, which sslmode turns off"),
        (b"SSL off", "it allows this login only with SSL, which sslmode turns off"),
        (b"SSL encryption", "no rule of its pg_hba.conf allows this login"),
    ],
)
async def test_rejection_by_pg_hba_is_reported(phrase, reason):
    message = (
        b'no pg_hba.conf entry for host "10.0.0.9", user "icct26", database "icct26", ' + phrase
    )

    async with serving(Server(reply=fatal(b"28000", message))) as url:
        assert await start_error(url + "disable") == reason


async def test_serve_command_prints_the_reason_without_the_password(tmp_path, authorities):
    server = Server(ssl_context(tmp_path, create_certificate("own")))

    async with serving(server) as url:
        process = await run_cli(
            tmp_path, "serve", DATABASE_URL=url + "verify-full", PGSSLROOTCERT=str(authorities)
        )

    assert process.stderr == (
        "The database answers, but its certificate is self-signed and not trusted here."
        " Check DATABASE_URL.\n"
    )
    assert (process.returncode, process.stdout, server.connections) == (1, "", 1)
