#!/bin/sh
# As the images do: PostgreSQL gets its files first, everything else is started as it is.
set -eu
[ "$1" != postgres ] || exec stand-in-postgres "$@"
exec "$@"
