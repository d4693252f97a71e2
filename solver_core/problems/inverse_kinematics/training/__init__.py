"""What networks are trained on, and with."""
