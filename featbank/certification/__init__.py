"""Certification: a sample of the stored utterances computed again, and held against the stores."""
