"""A sample computed again: to the stored bits, and from disturbed audio to the same tokens?"""
