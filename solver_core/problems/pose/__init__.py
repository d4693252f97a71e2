"""Object pose from one silhouette."""
