"""Published weights: where they come from, what they are, what may be done with them."""
