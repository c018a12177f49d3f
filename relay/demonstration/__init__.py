"""A month of mail of a company that does not exist, lived through by the relay's and the tracker's own functions.

Nothing here writes a row: mail goes through `relay.delivery`, what comes of it through the queue's worker, readers
through `tracker.web.hits`, what people say through the register. Only the clock and the other end of the wire are ours.
All names lie in domains that can never exist (RFC 2606 2), all addresses of readers in networks for tests (RFC 2544).
"""
