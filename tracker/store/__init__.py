"""The store: one engine for both packages, and the tracking domain's SQL."""
