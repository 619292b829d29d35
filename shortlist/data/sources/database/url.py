"""The URL of a database: variables are replaced here, and its secrets are removed from every message."""

import os
import re
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from shortlist.data.sources.errors import SourceError

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
_SECRET_NAME = re.compile(r"(?i)pass|pwd|secret|token|credential|key|dsn|url")


@dataclass(frozen=True)
class Address:
    """Where a database is, with and without its secrets."""

    scheme: str
    url: str = field(repr=False)
    """With the password; only a driver may see it."""
    shown: str
    """`postgresql://host:5432/database`, for messages."""
    secrets: frozenset[str] = field(repr=False)

    def scrubbed(self, text: str) -> str:
        """The text with `***` for each secret, as it is and as it is written in a URL."""
        forms = {form for secret in self.secrets for form in (secret, quote(secret, safe=""), unquote(secret))}
        for form in sorted(filter(None, forms), key=len, reverse=True):
            text = text.replace(form, "***")
        return text


def address_of(url: str) -> Address:
    """Replace the variables of a URL from the environment.

    The value of a variable before the host, like a password, may contain any character; it is encoded here. Raises
    SourceError, without any part of the URL, for a variable that is not set and for a URL that cannot be understood.
    """
    host_at = url.rpartition("@")[0]
    secrets: set[str] = set()

    def substitute(match: re.Match[str]) -> str:
        name, default = match.groups()
        value = os.environ.get(name, default)
        if value is None:
            raise SourceError(f"source.url: the environment variable {name} is not set; set it for the step that reads")
        before_host = match.end() <= len(host_at)
        if (before_host and ":" in url[: match.start()].partition("://")[2]) or _SECRET_NAME.search(name):
            secrets.add(value)
        return quote(value, safe="") if before_host else value

    full = _VARIABLE.sub(substitute, url)
    scheme, separator, rest = full.partition("://")
    if not separator or not re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme):
        raise SourceError("source.url: does not begin with a scheme like postgresql:// or sqlite://")
    if scheme == "sqlite":
        return Address(scheme, full, full, frozenset(secrets - {full}))
    place = rest.partition("?")[0]
    authority = place.partition("/")[0]
    if rest.count("@") != authority.count("@") or rest.count("@") > 1:
        # A driver would take a part of the password for the host, and show it.
        raise SourceError(
            "source.url: has an @ outside of user:password@host; encode the password of the URL, @ as %40 and / as %2F"
        )
    password = authority.rpartition("@")[0].partition(":")[2]
    parameters = [one.partition("=") for one in rest.partition("?")[2].split("&")]
    secrets |= {password, full} | {value for key, _, value in parameters if _SECRET_NAME.search(key)}
    return Address(scheme, full, f"{scheme}://{place.rpartition('@')[2]}", frozenset(secrets))
