"""The edge for people: who a reviewer is, how they are told of a call, and how a decision comes in."""
