"""Where the gateway is, as a client on this machine writes it. A command knows it without the server."""


def url_of(host: str, port: int) -> str:
    """Where a client on this machine reaches what listens on an address; one for "everywhere" is loopback."""
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{name}:{port}"
