"""What every model server has around its application, be it ours or vLLM: one pure-ASGI class that knows nothing of mlctl.

It keeps the prediction log, counts by variant (`stats/<pid>.json` in the release's folder, and Prometheus), and admits
requests: bearer token, size, time, concurrency, cache. It imports the standard library and prometheus_client alone, and
itself by relative imports, so that a server in another Python environment can load it as a package of any name.

How it is configured: `Settings`, as JSON in the environment variable MLCTL_MIDDLEWARE. What it shares with the
application of ours behind it: the `Call` in `scope["state"]["mlctl"]`, which the application fills with rows and scores.
"""

from .asgi import Middleware as Middleware
from .call import STATE as STATE
from .call import Call as Call
from .call import Row as Row
from .call import Stage as Stage
from .settings import Cache as Cache
from .settings import Limits as Limits
from .settings import Settings as Settings
from .settings import Traces as Traces
