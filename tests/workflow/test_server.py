"""The client of the Inngest server: whose certificates it trusts."""

import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest

from atlas.settings import Settings
from atlas.workflow.server import create_client

KEYS = {"inngest_event_key": "event-key", "inngest_signing_key": "signkey-prod-00ff"}


def contexts(settings: Settings) -> list[ssl.SSLContext]:
    """What the SDK's two HTTP clients check servers with."""
    http: Any = create_client(settings)._http_client
    return [client._transport._pool._ssl_context for client in (http._http_client, http._http_client_sync)]


@pytest.mark.parametrize(("keys", "trusts"), [({}, False), (KEYS, True)], ids=["embedded", "Inngest"])
def test_a_client_that_is_never_dialled_reads_no_certificates(
    tmp_path: Path, keys: dict[str, Any], trusts: bool
) -> None:
    """The clients of the embedded engine accept no server; those of Inngest's accept who is vouched for."""
    for context in contexts(Settings(_env_file=None, atlas_data_dir=tmp_path, **keys)):
        assert context.verify_mode is ssl.CERT_REQUIRED and context.check_hostname
        assert bool(context.cert_store_stats()["x509_ca"]) is trusts
    assert httpx.create_ssl_context().cert_store_stats()["x509_ca"], "others read them as before"
