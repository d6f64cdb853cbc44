"""A stand-in for Modal's control plane on loopback, good enough for the real SDK, CLI and container runtime.

It answers the RPCs that a deployment, a call and a container make; nothing of it is Modal's server. Image
builds are recorded and not run; containers are processes with the Python of the tests.
"""

from modal_loopback.server import LoopbackModal
from modal_loopback.state import Raw

__all__ = ["LoopbackModal", "Raw"]
