"""How long things of the desk last: sessions, links, and the memory of sign-ins that failed."""

from datetime import timedelta

IDLE = timedelta(minutes=30)  # a session without a request ends
LONGEST = timedelta(hours=12)  # then a session ends, also one that is in use
SEEN_EACH = timedelta(minutes=1)  # how often it is written that a session was seen
ENTER_LINK = timedelta(minutes=10)  # the link that ./setup.sh prints
PASSWORD_LINK = timedelta(hours=24)  # the link for a first password
ATTEMPTS = timedelta(minutes=15)  # how long sign-ins that failed are counted together
