"""Extraction from a training recipe, under the same laws as the pipeline's."""
