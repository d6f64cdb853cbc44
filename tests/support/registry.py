"""Where packages come from on this machine, as uv has to be told."""

import subprocess
import sys

PIPS_SETTINGS = {"index-url": "UV_DEFAULT_INDEX", "cert": "SSL_CERT_FILE"}  # and what uv calls them
LIST_SECONDS = 120


def settings_for_uv() -> dict[str, str]:
    """What pip is told: uv does not read it, and the registry may be to be had in no other way."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=LIST_SECONDS).stdout
    pairs = (line.partition("=") for line in listed.splitlines())
    said = {name.rpartition(".")[2]: value.strip("'\"") for name, _, value in pairs}
    return {ours: said[pips] for pips, ours in PIPS_SETTINGS.items() if pips in said}
