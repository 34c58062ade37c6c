"""The settings of a node and the declarative platform model: load, validate, diff. Knows no concrete adapter."""
