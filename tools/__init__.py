"""The scripts behind the verbs of dev.py: what each imports at its top is the standard library."""
