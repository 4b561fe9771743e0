"""The pipeline under Hydra and DVC: stages, their configurations, and what DVC holds."""
