"""Names in the folder of all searches for settings, in which each search has a folder of KerasTuner's."""

# What KerasTuner keeps of a search, in the search's own folder.
ORACLE = "oracle.json"
# The logs of all trainings; the names of a search's begin with the search's.
LOGS = "logs"
