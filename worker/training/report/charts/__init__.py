"""Pictures of an evaluation as SVG: the same figures give the same bytes."""
