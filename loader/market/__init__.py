"""Bitso, CoinGecko and CoinCap by REST, or from a recording: replies -> records -> raw."""
