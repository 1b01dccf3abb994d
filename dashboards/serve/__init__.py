"""The dashboards as a live page: filters that work, zoom and refresh, over HTTP."""
