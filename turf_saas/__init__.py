"""The domain of billing: what is sold, what is used, what is billed. It knows nothing of Flask."""

import logging

__version__ = "0.1.0"

# Whether anything is written, and where, is the app's decision.
logging.getLogger("turf_saas").addHandler(logging.NullHandler())
