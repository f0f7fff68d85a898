"""Answers compared with truths, row by row: what the report's figures, intervals and examples are made of."""
