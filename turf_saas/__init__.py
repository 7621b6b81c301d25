"""The domain of billing: what is sold, what is used, what is billed. It knows nothing of Flask."""
