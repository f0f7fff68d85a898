"""The report of a run: a dict of figures, and one HTML page that shows them."""
