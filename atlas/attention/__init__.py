"""Measures against waving calls through, and what they show; good practice under Article 14(4)(b)."""
