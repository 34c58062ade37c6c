"""The console in the browser: a login and one page, the overview. Shows what the API gives; no request leaves the machine."""
