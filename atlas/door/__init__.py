"""The door: how large a request may be, how long it may take, and how many connections may be open.

It knows paths and names by what it is given, and stands before the gateway and before the engine alike.
"""
