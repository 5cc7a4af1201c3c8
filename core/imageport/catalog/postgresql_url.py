"""The url of a catalog in PostgreSQL: as libpq reads it, and as it may be shown.

libpq is strict: it takes ``user:pa/ss@host`` for a host and a port, and refuses a single ``%`` and
``?options=-csearch_path=x``. Here a password ends with the ``@`` in front of the host, an option with the next ``&``,
and both may have all other characters. Hosts may be ``?host=one:5432&host=two:5433``, as SQLAlchemy has them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs, quote, unquote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict

from imageport.errors import UsageError

_USER = re.compile(r"(?P<user>[^:/@?]*)(?::(?P<password>.*?))?@(?![^/?]*@)")
_SECRETS = frozenset({"password", "sslpassword"})
#: A password that is not written as it should be may have an ``@`` as well.
_SHOWN_USER = re.compile(r"(?<=//)([^:/@]*):.*@")
_SHOWN_OPTION = re.compile(rf"(?<=[?&])({'|'.join(sorted(_SECRETS))})=[^&]*")
_HOST = re.compile(r"(?P<name>[\w.-]*)(?::(?P<port>\d*))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class PostgresqlUrl:
    """One url for libpq, for programs of PostgreSQL (without a password), and for messages (with ``***``)."""

    libpq: str
    plain: str
    shown: str


def read(url: str) -> PostgresqlUrl:
    """Return the forms of *url*. Raises ``UsageError``, which shows no part of a password."""
    rest = url.partition("://")[2]
    shown = _SHOWN_OPTION.sub(r"\1=***", _SHOWN_USER.sub(r"\1:***@", url))
    try:
        found = _USER.match(rest)
        user, password = found.group("user", "password") if found else (None, None)
        place, _, query = (rest[found.end() :] if found else rest).partition("?")
        options = _options(parse_qs(query))
        libpq = _joined(user, password, place, options)
        conninfo_to_dict(libpq)
        public = {name: value for name, value in options.items() if name not in _SECRETS}
        return PostgresqlUrl(libpq, _joined(user, None, place, public), shown)
    except (psycopg.ProgrammingError, UnicodeError) as error:
        # The reason may show a part of the password.
        reason = f": {error}".strip() if shown == url else ""
    raise UsageError(
        f"the url of the catalog {shown} cannot be read{reason}",
        hint="write postgresql+psycopg://user:password@host/database, and other characters as %XX",
    )


def _options(query: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return the options with one value each: libpq wants all hosts in one, and their ports in another."""
    options = {name: values[-1] for name, values in query.items()}
    hosts = [_HOST.fullmatch(host) for host in query.get("host", ())]
    known = [host for host in hosts if host is not None]
    if known and len(known) == len(hosts):
        options["host"] = ",".join(host["name"] for host in known)
        if any(host["port"] for host in known):
            options["port"] = ",".join(host["port"] or "" for host in known)
    return options


def _joined(user: str | None, password: str | None, place: str, options: Mapping[str, str]) -> str:
    quoted = [quote(unquote(part), safe="") for part in (user, password) if part is not None]
    query = urlencode(options, quote_via=quote)
    return f"postgresql://{':'.join(quoted)}{'@' if quoted else ''}{place}{'?' if query else ''}{query}"
