"""Runs the command that stops and lifts."""

import sys

from atlas.stop.command import main

sys.exit(main())
