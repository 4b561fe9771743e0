"""The stages under Hydra and DVC: configurations, choices and what DVC holds."""
