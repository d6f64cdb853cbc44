"""`python -m atlas.assessors.policy explain|check|replay`."""

from atlas.assessors.policy.command import main

main()
