"""The management API: `/api/v1`, health and metrics. One file a subject; the only way by which control state changes."""
