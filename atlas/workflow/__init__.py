"""The edge to Inngest: which server runs the workflow, its client, and what it is told.

The durable story itself is workflows.py.
"""
