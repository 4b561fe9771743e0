"""What a machine has, and what of it will be slow or not work: for `featbank doctor`."""
