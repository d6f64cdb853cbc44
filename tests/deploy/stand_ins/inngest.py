#!/usr/bin/env python3
"""Stands in for `inngest start`: asks the two stores at their addresses, then runs the gateway's engine."""

import argparse
import os
import socket
import sys
from urllib.parse import urlsplit

import psycopg

parser = argparse.ArgumentParser()
parser.add_argument("command", choices=["start"])
parser.add_argument("--no-ui", action="store_true", required=True)
parser.add_argument("--host", required=True)
parser.add_argument("--port", required=True)
given = parser.parse_args()

with psycopg.connect(os.environ["INNGEST_POSTGRES_URI"], connect_timeout=10) as connection:
    connection.execute("CREATE TABLE IF NOT EXISTS may_make_tables (number int)")
place = urlsplit(os.environ["INNGEST_REDIS_URI"])
with socket.create_connection((str(place.hostname), place.port or 6379), timeout=10) as redis:
    redis.sendall(f"AUTH {place.password}\r\nPING\r\n".encode())
    said = b""
    while b"PONG" not in said:
        said += redis.recv(100) or sys.exit(f"Redis said {said!r}")

words = ["-m", "atlas.engine", "--host", given.host, "--port", given.port, "--data-dir", "/tmp/engine"]  # noqa: S108
keys = ["--event-key", os.environ["INNGEST_EVENT_KEY"], "--signing-key", os.environ["INNGEST_SIGNING_KEY"]]
os.execv(sys.executable, [sys.executable, *words, *keys])  # noqa: S606
