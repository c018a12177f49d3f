"""The tracking domain: who agreed to what, what a token says, what happened. Knows nothing of mail."""
