"""The face to the world: pixels, redirects and each person's own page. Knows nothing of mail."""
