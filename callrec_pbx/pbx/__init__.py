"""Adapters: raw PBX messages to typed events, typed commands to raw actions."""
