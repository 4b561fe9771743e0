"""Data directories of Kaldi and ESPnet, of which no command is run."""
