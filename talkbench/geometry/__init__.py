"""Rotations, alignment, the 68-point topology, the parametric head."""
