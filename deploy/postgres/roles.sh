#!/bin/sh
# Makes a role and a database for the gateways and for Inngest. The image of PostgreSQL runs it once, on an empty volume.
set -eu

psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
\getenv gateway GATEWAY_PASSWORD
\getenv inngest INNGEST_PASSWORD
CREATE ROLE atlas LOGIN PASSWORD :'gateway';
CREATE DATABASE atlas OWNER atlas;
CREATE ROLE inngest LOGIN PASSWORD :'inngest';
CREATE DATABASE inngest OWNER inngest;
REVOKE CONNECT ON DATABASE atlas, inngest FROM PUBLIC;
SQL
