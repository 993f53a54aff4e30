"""The meaning of a failure to agree on an encrypted connection with the database.

Codes: `X509_V_ERR_…` of OpenSSL (x509_vfy.h), as `ssl.SSLCertVerificationError.verify_code`.
"""

import errno
import os
import ssl
from pathlib import Path

import asyncpg

_UNKNOWN_AUTHORITY = "its certificate is from an authority that is not trusted here"
_CERTIFICATES = {
    2: _UNKNOWN_AUTHORITY,
    9: "its certificate is not valid yet: compare the clocks",
    10: "its certificate has expired",
    18: "its certificate is self-signed and not trusted here",
    19: _UNKNOWN_AUTHORITY,
    20: _UNKNOWN_AUTHORITY,
    21: _UNKNOWN_AUTHORITY,
    23: "its certificate was revoked",
    26: "its certificate is not one of a server",
    62: "its certificate is for another host name",
    64: "its certificate is for another address",
}
_UNTRUSTED = "its certificate is not trusted here"
_NO_AUTHORITIES = (
    "sslmode asks to check its certificate, and the file with the certificates of trusted"
    " authorities (PGSSLROOTCERT, or ~/.postgresql/root.crt) cannot be read"
)
_NOT_AGREED = "no encrypted connection can be agreed on with it"
_NOT_OFFERED = "it offers no SSL, which sslmode asks for"
# The part of OpenSSL that reads files of certificates.
_FILES = ("X509", "PEM")
# The connection ended in the middle, as when a server restarts.
_ENDED = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
_UNREADABLE = (errno.ENOENT, errno.EACCES, errno.EISDIR, errno.ENOTDIR)


def tls_error_reason(error: BaseException) -> str:
    """Why no encrypted connection comes about; empty for what may be otherwise in a moment."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _CERTIFICATES.get(error.verify_code, _UNTRUSTED)
    if isinstance(error, ssl.SSLError):
        return "" if isinstance(error, _ENDED) else _disagreement(error)
    return _absence(error)


def _disagreement(error: ssl.SSLError) -> str:
    return _NO_AUTHORITIES if error.library in _FILES else _NOT_AGREED


def _absence(error: BaseException) -> str:
    """A file or an offer of the server that is not there."""
    if isinstance(error, OSError) and error.errno in _UNREADABLE and _names_unreadable_file():
        return _NO_AUTHORITIES
    # asyncpg has no classes for these.
    said = str(error)
    if isinstance(error, asyncpg.ClientConfigurationError) and "root certificate file" in said:
        return _NO_AUTHORITIES
    if isinstance(error, ConnectionError) and said.endswith("rejected SSL upgrade"):
        return _NOT_OFFERED
    return ""


def _names_unreadable_file() -> bool:
    path = os.environ.get("PGSSLROOTCERT", "")
    return path != "" and not (Path(path).is_file() and os.access(path, os.R_OK))
