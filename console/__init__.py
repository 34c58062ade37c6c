"""The control plane: the management API (console/api) and the overview page (console/web). Imports no concrete adapter."""
