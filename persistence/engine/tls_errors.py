"""Reasons for which no TLS connection to the database can be made.

The numbers are OpenSSL's `X509_V_ERR_…` (x509_vfy.h), which Python gives as
`ssl.SSLCertVerificationError.verify_code`.
"""

import errno
import os
import ssl
from pathlib import Path

import asyncpg

_UNKNOWN_AUTHORITY = "its certificate is from an authority that is not trusted here"
_REASONS_BY_VERIFY_CODE = {
    2: _UNKNOWN_AUTHORITY,
    9: "its certificate is not valid yet: compare the clocks",
    10: "its certificate has expired",
    18: "its certificate is self-signed and not trusted here",
    19: _UNKNOWN_AUTHORITY,
    20: _UNKNOWN_AUTHORITY,
    21: _UNKNOWN_AUTHORITY,
    23: "its certificate was revoked",
    26: "its certificate is not a server certificate",
    62: "its certificate is for another host name",
    64: "its certificate is for another address",
}
_UNTRUSTED = "its certificate is not trusted here"
_NO_ROOT_CERTIFICATES = (
    "sslmode requires checking its certificate, but the file with the certificates of trusted"
    " authorities (PGSSLROOTCERT, or ~/.postgresql/root.crt) cannot be read"
)
_NO_AGREEMENT = "no TLS connection can be negotiated with it"
_NO_SSL_OFFERED = "it offers no SSL, which sslmode requires"
# The parts of OpenSSL that read certificate files.
_FILE_LIBRARIES = ("X509", "PEM")
# The connection ended during the handshake, as when a server restarts.
_INTERRUPTED = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
_UNREADABLE_ERRNOS = (errno.ENOENT, errno.EACCES, errno.EISDIR, errno.ENOTDIR)


def tls_error_reason(error: BaseException) -> str:
    """The reason, as part of a sentence; "" for an error that a retry may overcome."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _REASONS_BY_VERIFY_CODE.get(error.verify_code, _UNTRUSTED)
    if isinstance(error, ssl.SSLError):
        if isinstance(error, _INTERRUPTED):
            return ""
        return _NO_ROOT_CERTIFICATES if error.library in _FILE_LIBRARIES else _NO_AGREEMENT
    return _reason_outside_ssl(error)


def _reason_outside_ssl(error: BaseException) -> str:
    """A certificate file that cannot be read, or a server without SSL."""
    if (
        isinstance(error, OSError)
        and error.errno in _UNREADABLE_ERRNOS
        and _is_root_file_unreadable()
    ):
        return _NO_ROOT_CERTIFICATES
    # asyncpg raises general classes here; only the message tells these cases apart.
    message = str(error)
    if isinstance(error, asyncpg.ClientConfigurationError) and "root certificate file" in message:
        return _NO_ROOT_CERTIFICATES
    if isinstance(error, ConnectionError) and message.endswith("rejected SSL upgrade"):
        return _NO_SSL_OFFERED
    return ""


def _is_root_file_unreadable() -> bool:
    path = os.environ.get("PGSSLROOTCERT", "")
    return path != "" and not (Path(path).is_file() and os.access(path, os.R_OK))
