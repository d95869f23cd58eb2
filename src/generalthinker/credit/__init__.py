"""Token-level credit: how a response's advantage is distributed over its reasoning tokens (equations 8 to 14)."""

from generalthinker.credit.modulation import Modulation, modulate, token_advantages

__all__ = ["Modulation", "modulate", "token_advantages"]
