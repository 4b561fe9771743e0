"""Quality of features and units: ABX of phones, an n-gram of units, a probe for speakers."""
