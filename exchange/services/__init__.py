"""Data services: core.service.DataService over mirror (kind a), source and journal (kind b) and live calls (kind c)."""
