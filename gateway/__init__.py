"""The data plane: listener → router → stages → data services. Decides without SQL, from one immutable snapshot.

`listener` alone knows the HTTP server; `problems` alone turns errors into answers.
"""

from core import compiled

compiled.use(__name__, __path__)
