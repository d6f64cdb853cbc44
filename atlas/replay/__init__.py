"""A policy tried on the past: what it would have said of the calls on record, without a deed or a write."""
