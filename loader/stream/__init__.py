"""Bitso's WebSocket: every book each second, or a gap that says why not."""
