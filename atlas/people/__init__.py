"""The edge for people: how a reviewer is told, who a reviewer is, and how a decision comes in."""
