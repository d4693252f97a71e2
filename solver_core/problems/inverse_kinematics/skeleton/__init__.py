"""The body that moves: a tree of bones, where rotations take it, and what limits them."""
