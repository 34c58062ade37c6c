"""One file a stage, in fixed order: identify → authenticate → authorise → limit. See core.http.Stage."""
