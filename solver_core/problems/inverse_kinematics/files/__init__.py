"""What is read and written: motions, bodies, targets, maps."""
