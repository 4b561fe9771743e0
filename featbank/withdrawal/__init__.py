"""Withdrawal of a person: what is to go, marks that keep it away, and the receipt; no DVC in it."""
