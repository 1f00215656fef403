"""Requests to addresses that strangers give: pictures to start from, and webhooks.

A name is resolved once, every address it has must be a public one, and the connection goes to that very address: a name
that leads elsewhere the next time (DNS rebinding) gains nothing. Where an answer leads on, the same holds again. Ports,
time and the length of an answer are limited.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import SplitResult, urljoin, urlsplit

from yozora.errors import YozoraError

Address = IPv4Address | IPv6Address
PORTS = {"http": 80, "https": 443}
REDIRECTS = (301, 302, 303, 307, 308)
NAT64 = (
    ipaddress.ip_network("64:ff9b::/96"),
    ipaddress.ip_network("64:ff9b:1::/48"),
)  # RFC 6052, 8215
# What Python counts as global and is not of the public internet: protocol assignments, relays of 6to4, IPv4-compatible.
SPECIAL = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "::/96")))
CHUNK = 2**16


class FetchError(YozoraError):
    """An address that is not asked, or did not answer as it should; the sentence is for whoever gave it."""

    code = "invalid_url"


@dataclass(frozen=True)
class Rules:
    """What may be asked. on: whether anything may. seconds: for all of it. bytes: of an answer. hops: redirections.

    ports: those that are asked. also: hosts that are asked wherever they are, at any port, such as a receiver in one's
    own network; a name or an address as it stands in the URL.
    """

    on: bool = False
    seconds: float = 15.0
    bytes: int = 2**26
    hops: int = 3
    ports: tuple[int, ...] = (80, 443)
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """status: of HTTP. body: at most as many bytes as the rules allow."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def get(url: str, rules: Rules) -> Answer:
    """What an address answers, redirections followed. Raises FetchError."""
    ends = time.monotonic() + rules.seconds
    for _ in range(rules.hops + 1):
        answer = request("GET", url, rules, ends)
        if answer.status not in REDIRECTS:
            break
        url = urljoin(url, answer.headers.get("location", ""))
    else:
        raise FetchError(f"The address redirects more than {rules.hops} times.")
    if answer.status != 200:
        raise FetchError(f"The address answered with status {answer.status}.")
    return answer


def post(url: str, body: bytes, headers: Mapping[str, str], rules: Rules) -> Answer:
    """Send something, and what is answered. A redirection is not followed. Raises FetchError."""
    return request("POST", url, rules, time.monotonic() + rules.seconds, body, headers)


def request(
    method: str,
    url: str,
    rules: Rules,
    ends: float,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request to one address, which has to be over by the monotonic time ``ends``. Raises FetchError."""
    parts, host, port = checked(url, rules)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    asked = {
        "Host": parts.netloc,
        "User-Agent": "yozora",
        "Accept-Encoding": "identity",
        **(headers or {}),
    }
    try:
        with connected(parts, host, resolve(host, port, rules), port, ends) as connection:
            connection.request(method, path, body, asked)
            return answered(connection, rules, ends)
    except (OSError, http.client.HTTPException, UnicodeError, ValueError) as error:
        late = isinstance(error, TimeoutError) or time.monotonic() >= ends
        reason = "in time" if late else "as it should"
        raise FetchError(f"The address {host} did not answer {reason}.") from error


def checked(url: str, rules: Rules) -> tuple[SplitResult, str, int]:
    """The parts of a URL with its host and port, when it is one that may be asked. Raises FetchError."""
    if not rules.on:
        raise FetchError("Addresses are not fetched here: upload the file instead.")
    if any(letter <= " " or letter == "\x7f" for letter in url) or "\\" in url:
        raise FetchError("An address has no spaces, control characters or backslashes.")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or PORTS.get(parts.scheme)
    except ValueError as error:
        raise FetchError("This is no address that can be asked.") from error
    if parts.scheme not in PORTS or not host or port is None:
        raise FetchError("An address begins with http:// or https:// and names a host.")
    if parts.username is not None or parts.password is not None:
        raise FetchError("An address must not hold a name or a password.")
    if port not in rules.ports and host not in rules.also:
        raise FetchError(
            f"Port {port} is not asked; these are: {', '.join(map(str, rules.ports))}."
        )
    return parts, host, port


def resolve(host: str, port: int, rules: Rules) -> str:
    """The address that a host has now. Raises FetchError unless all it has are public, OSError when it has none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    addresses = [str(entry[4][0]).partition("%")[0] for entry in found]
    if host not in rules.also and not all(public(ipaddress.ip_address(one)) for one in addresses):
        raise FetchError(f"{host} is not on the public internet, and is not asked.")
    return addresses[0]


def public(address: Address) -> bool:
    """Whether an address is one of the public internet, and no other's in disguise."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or translated(address)
        if inner is not None:
            return public(inner)
        if address.teredo is not None or address.is_site_local:
            return False
    if any(address in network for network in SPECIAL):
        return False
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_unspecified or address.is_loopback
    )


def translated(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that a translator (NAT64) would reach by this one."""
    if any(address in network for network in NAT64):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None


@contextmanager
def connected(
    parts: SplitResult, host: str, address: str, port: int, ends: float
) -> Iterator[http.client.HTTPConnection]:
    """A connection to this very address, whose certificate must be the host's. Raises OSError.

    It is cut off at ``ends``, whatever it is at: the time of a socket is that of each piece, and pieces may drip.
    """
    with socket.create_connection((address, port), timeout=left(ends)) as plain:
        connection = http.client.HTTPConnection(host, port)
        with plain.dup() as other:  # of the same connection: the first one goes into that of TLS
            timer = threading.Timer(left(ends) + 0.1, cut, [other])
            timer.start()
            try:
                secure = ssl.create_default_context() if parts.scheme == "https" else None
                connection.sock = (
                    secure.wrap_socket(plain, server_hostname=host) if secure else plain
                )
                yield connection
            finally:
                timer.cancel()
                timer.join()
                connection.close()


def cut(channel: socket.socket) -> None:
    """End a connection, for both sides."""
    with suppress(OSError):
        channel.shutdown(socket.SHUT_RDWR)


def answered(connection: http.client.HTTPConnection, rules: Rules, ends: float) -> Answer:
    """The answer that comes by the time. Raises FetchError when it is too long, OSError when it is late."""
    channel = connection.sock
    channel.settimeout(left(ends))
    response = connection.getresponse()
    body = bytearray()
    while len(body) <= rules.bytes:
        channel.settimeout(left(ends))
        part = response.read1(CHUNK)
        if not part:
            left(ends)  # else it may have been cut off
            fields = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, bytes(body), fields)
        body += part
    raise FetchError(f"The address answers with more than {rules.bytes} bytes.")


def left(ends: float) -> float:
    """The seconds that are left. Raises TimeoutError when there are none."""
    seconds = ends - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds
