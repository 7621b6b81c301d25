"""The house rules as functions: each reads sources and returns what breaks it, one line a breach."""
