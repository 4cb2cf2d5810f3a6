"""A budget of requests and tokens for a model that costs money."""

from __future__ import annotations

from dataclasses import dataclass

from stages.base import Postponed


@dataclass(slots=True)
class Budget:
    """Count what was spent, and reserve the maximum that requests in flight may still take.

    `max_requests` and `max_tokens` are None if there is no limit.
    """

    max_requests: int | None = None
    max_tokens: int | None = None
    requests: int = 0
    tokens: int = 0
    reserved: int = 0
    in_flight: int = 0

    def fits(self, tokens: int) -> bool:
        """Return whether one more request of at most `tokens` tokens stays within the limits."""
        requests_left = self.max_requests is None or self.requests < self.max_requests
        tokens_left = self.max_tokens is None or self.tokens + self.reserved + tokens <= self.max_tokens
        return requests_left and tokens_left

    def reserve(self, tokens: int) -> None:
        """Count a request that begins and takes at most `tokens` tokens."""
        self.requests += 1
        self.in_flight += 1
        self.reserved += tokens

    def settle(self, reserved: int, used: int) -> None:
        """Replace the reservation of a request that ended by the tokens that it used."""
        self.in_flight -= 1
        self.reserved -= reserved
        self.tokens += used

    def postpone(self) -> Postponed:
        """Return the outcome of an item that no budget is left for."""
        if self.max_requests is not None and self.requests >= self.max_requests:
            reason = f"{self.max_requests} requests were made, as many as --max-requests allows"
        else:
            reason = f"{self.tokens} tokens were used, and the next request may go beyond --max-tokens"
        return Postponed(reason=reason, hint="the same command again takes the next ones")
