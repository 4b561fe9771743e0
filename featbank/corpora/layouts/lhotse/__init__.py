"""What lhotse has prepared: recordings, supervisions, cuts and Shar."""
