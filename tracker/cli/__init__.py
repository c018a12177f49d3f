"""Commands about the tracking domain; `relay.cli` gathers them into `candor`."""
