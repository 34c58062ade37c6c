"""One file a stage, in fixed order: identify → authenticate → authorise → limit → cache → transform. See gateway.stage.Stage."""

from core import compiled

compiled.use(__name__, __path__)
