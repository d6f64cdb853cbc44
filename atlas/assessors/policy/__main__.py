"""`python -m atlas.assessors.policy explain|check`."""

from atlas.assessors.policy.command import main

main()
