"""The report of a validation: a page for people, numbers and curves for DVC."""
