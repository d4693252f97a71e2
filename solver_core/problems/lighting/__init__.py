"""A sun or a point light from one image of known geometry."""
