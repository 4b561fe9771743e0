"""Features of pretrained encoders."""
