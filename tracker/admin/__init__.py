"""The operator's face, on a listener of its own."""
