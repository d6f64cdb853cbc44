"""The edge for people: who a reviewer is, how they come in, and how a decision comes in."""
