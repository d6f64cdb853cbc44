"""The one rule by which clients of ours take a proxy: never to this machine, else as the environment says."""

import socket
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from atlas.errors import ProxyUnusable

PORTS = {"http": 80, "https": 443}


def proxy_of(url: str, environment: Mapping[str, str]) -> str | None:
    """The proxy through which a URL is reached, as HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY say.

    Lower case counts before upper case, as curl reads them. Raises ProxyUnusable; it may hold a password.
    """
    target = urlsplit(url)
    host = (target.hostname or "").rstrip(".")
    proxy = _value(environment, f"{target.scheme}_proxy") or _value(environment, "all_proxy")
    port = target.port or PORTS.get(target.scheme, 0)
    if not proxy or is_this_machine(host) or _is_excepted(host, port, _value(environment, "no_proxy")):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    try:
        is_right = urlsplit(proxy).scheme in PORTS and urlsplit(proxy).hostname
    except ValueError:
        is_right = False
    if not is_right:
        raise ProxyUnusable(host=host)
    return proxy


def is_this_machine(host: str) -> bool:
    """Whether a name or an address, in any spelling that is dialled, is loopback or stands for it."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        try:
            address = ip_address(socket.inet_aton(host))  # 127.1 and 2130706433 are dialled as 127.0.0.1
        except (OSError, UnicodeError):
            return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified


def _value(environment: Mapping[str, str], name: str) -> str:
    return (environment.get(name) or environment.get(name.upper()) or "").strip()


def _is_excepted(host: str, port: int, said: str) -> bool:
    return any(_is_meant(host, port, entry.strip().lower()) for entry in said.split(",") if entry.strip())


def _is_meant(host: str, port: int, entry: str) -> bool:
    """Whether an entry of NO_PROXY is about a host: a name and all below it, an address, or a network."""
    if entry == "*":
        return True
    try:
        return ip_address(host) in ip_network(entry.strip("[]"), strict=False)
    except ValueError:  # one of the two is a name, or has a port
        named = urlsplit(f"//{entry}")
    try:
        has_port = named.port not in (None, port)
    except ValueError:
        return False
    name = (named.hostname or "").removeprefix("*").lstrip(".").rstrip(".")
    return bool(name) and not has_port and (host == name or host.endswith(f".{name}"))
