"""The gateway, whose seeded cases come as soon as others do, for tests that cannot wait ten minutes."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "acceptance"))

from serving_gateway import serve_gateway

from atlas.attention import seeding

if __name__ == "__main__":
    seeding.LONGEST_DELAY = 0.0
    seeding.PACE_SECONDS = 0.1
    serve_gateway()
