"""What a host can hear of: blinker signals, sent after the commit, with the app as sender.

from api_v1.signals import usage_threshold_reached

@usage_threshold_reached.connect
def send_mail(app, crossing): ...
"""

from __future__ import annotations

from blinker import Namespace

_signals = Namespace()

# crossing: a turf_saas.thresholds.Crossing. Once per user, metric, month and percentage.
usage_threshold_reached = _signals.signal("usage-threshold-reached")
