"""Forms of units and codes that a speech language model reads, and the ways back."""
