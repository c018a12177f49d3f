"""The operator's pages: each reads what it shows through `tracker.reports` and the store's verbs."""
