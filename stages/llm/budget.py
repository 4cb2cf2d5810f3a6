"""What may be spent on a model that costs: requests and tokens, never more than allowed."""

from __future__ import annotations

from dataclasses import dataclass

from stages.base import Postponed


@dataclass(slots=True)
class Budget:
    """Counts what was spent, and holds back for what is under way what that may take at most.

    `max_requests` and `max_tokens` are None where nobody set a limit.
    """

    max_requests: int | None = None
    max_tokens: int | None = None
    requests: int = 0
    tokens: int = 0
    reserved: int = 0
    in_flight: int = 0

    def fits(self, tokens: int) -> bool:
        """Whether one more request that takes at most so many tokens stays within the limits."""
        requests_left = self.max_requests is None or self.requests < self.max_requests
        tokens_left = self.max_tokens is None or self.tokens + self.reserved + tokens <= self.max_tokens
        return requests_left and tokens_left

    def reserve(self, tokens: int) -> None:
        self.requests += 1
        self.in_flight += 1
        self.reserved += tokens

    def settle(self, reserved: int, used: int) -> None:
        """A request came to its end, and took what it took."""
        self.in_flight -= 1
        self.reserved -= reserved
        self.tokens += used

    def spent(self) -> Postponed:
        """What becomes of an item that nothing is left for."""
        if self.max_requests is not None and self.requests >= self.max_requests:
            reason = f"{self.max_requests} requests were made, as many as --max-requests allows"
        else:
            reason = f"{self.tokens} tokens were used, and the next request may go beyond --max-tokens"
        return Postponed(reason=reason, hint="the same command again takes the next ones")
