"""Behaviour tests, after CheckList (Ribeiro et al., 2020): what a model must do whatever its metrics say.

The YAML files beside this one are the built-in suites.
"""
