"""A run's figures, collected for people: report.json, and the page that is made of it."""
