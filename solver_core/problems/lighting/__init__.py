"""A sun or a point lamp from one image of known geometry."""
