"""Cards: what a corpus or a store is, whose, and on what terms, for people and for machines."""
