"""Addresses: from where somebody really asks, behind whatever proxies the operator trusts."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from starlette.requests import HTTPConnection

from app.settings import Settings

UNKNOWN = "unknown"  # a socket without an address, as a test's
_HOUSEHOLD = 64  # bits of an IPv6 address that one customer cannot choose


def client_address(connection: HTTPConnection, settings: Settings) -> str:
    """The last hop that is no trusted proxy: what stands before it in X-Forwarded-For may be
    anybody's invention."""
    nearest = connection.client.host if connection.client else UNKNOWN
    for hop in reversed(_hops(connection)):
        if not _trusted(nearest, settings) or _parsed(hop) is None:
            break
        nearest = hop
    found = _parsed(nearest)
    return nearest if found is None else str(found)


def household(address: str) -> str:
    """What is counted as one address: of IPv6 the network, since everyone has billions in it."""
    found = _parsed(address)
    if not isinstance(found, IPv6Address):
        return address
    return str(ip_network((found, _HOUSEHOLD), strict=False))


def _hops(connection: HTTPConnection) -> list[str]:
    written = ",".join(connection.headers.getlist("x-forwarded-for"))
    return [hop.strip() for hop in written.split(",")] if written else []


def _trusted(address: str, settings: Settings) -> bool:
    found = _parsed(address)
    return found is not None and any(found in network for network in settings.trusted_proxies)


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return (isinstance(found, IPv6Address) and found.ipv4_mapped) or found
