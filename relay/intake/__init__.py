"""The SMTP server face: sessions, limits, AUTH, TLS.

A client's words become a `Submission` for the `deliver` given to `Intake`; what that answers, the client
hears. Reads no message: headers, consent and copies are the business of those behind.

server      listeners, admission, the orderly end    gate, proxy  for whom a load balancer speaks
session     one connection                           wire         lines, blocks and replies on it
turns       the client's word, then ours             connection   what these ask of their session
dialogue    commands and replies                     command      a command line (pure)
paths, parameters, authentication   what commands carry
permission  who may send what, and how much          transaction  the envelope while it is spoken
reception   a message's pace and memory              content      a message as it comes (pure)
services, limits, deliveries   what all sessions share
"""

from relay.intake.authentication import Authenticate
from relay.intake.deliveries import Deliver
from relay.intake.server import Intake
from relay.intake.services import Check, UserBase
from relay.intake.settings import Settings

__all__ = ["Authenticate", "Check", "Deliver", "Intake", "Settings", "UserBase"]
