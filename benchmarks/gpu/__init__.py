"""What a GPU makes of encoders and codecs: correctness, then rates with storage and without."""
