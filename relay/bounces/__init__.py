"""Reports that come back: read from mail into values, whatever wrote them. Pure.

read        which kind of report a message is            fields      machine-readable parts, field by field
status      delivery reports (RFC 3464)                  prose       bounces for people only (qmail, Exim, Exchange)
feedback    complaints (ARF, RFC 5965)                   codes       which enhanced codes speak of the mailbox

Nothing here raises for what a message holds: it comes from anybody. What is not understood is `Kind.OTHER`.
"""

from relay.bounces.codes import concerns_mailbox
from relay.bounces.read import read
from relay.bounces.report import Action, Fate, Kind, Report

__all__ = ["Action", "Fate", "Kind", "Report", "concerns_mailbox", "read"]
