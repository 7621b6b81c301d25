"""Stripe on loopback is held against the true SDK, over sockets."""
