"""What happened, added up: exact numbers, each with its denominator and its limits."""
