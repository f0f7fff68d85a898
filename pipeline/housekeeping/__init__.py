"""What earlier runs have left: which of it is needed, and the removal of the rest."""
