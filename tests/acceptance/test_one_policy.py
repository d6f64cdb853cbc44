"""One policy is in force for all gateways of a store: where it comes from, who takes it, and who refuses."""

import asyncio
import os
import signal
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Any

import httpx
import pytest
from gateway_process import REVIEWER_KEY, ROOT, WAIT_SECONDS, GatewayProcess, call, eventually, text_of
from postgres import PostgresServer, postgres_server
from quick_python import python_of_tests
from several_gateways import POLICY, SeveralGateways, several_gateways

STRICT = '[[rule]]\ntool = "*"\nscore = 90\nrationale = "A person looks at everything."\n'
OF_ANNA = '[[rule]]\ntool = "*"\nscore = 90\nreviewers = ["anna"]\n'
