"""Figures that say how good an assessor is on labelled calls: `python -m atlas.assessors.evaluate FILE…`."""
