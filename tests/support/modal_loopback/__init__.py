"""A stand-in for Modal's control plane on loopback, good enough for the real SDK, CLI and container runtime.

It answers the RPCs that a deployment, a call and a container make; nothing of it is Modal's server. Image
builds are recorded and not run; containers are processes with the Python of the tests.
"""

import os

# The SDK reads it when it is imported: no one's own profile, and no proxy, has a part in a test.
os.environ["MODAL_CONFIG_PATH"] = os.devnull
os.environ["MODAL_DISABLE_API_PROXY"] = "1"

from modal_loopback.server import LoopbackModal
from modal_loopback.state import Raw

__all__ = ["LoopbackModal", "Raw"]
