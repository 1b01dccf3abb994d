"""The dashboards in a Metabase: what they are to be, what is there, and how one becomes the other.

`wanted` says it in Metabase's terms, `marks` tell what is ours, `found` compares, `provision` plans
and applies, `session` speaks HTTP.
"""
