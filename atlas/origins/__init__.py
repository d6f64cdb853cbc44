"""Where each argument of a call came from: what its agent read before, and what the user asked for.

It finds facts and gives no score: the judges in `atlas/assessors/` make something of them.
"""
