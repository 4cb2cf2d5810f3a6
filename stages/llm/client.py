"""Ask an OpenAI-compatible endpoint many questions at once, within a budget, with retries.

Problems of the server are handled as follows:

- No response, or status 408, 425, 429 or 5xx: retry after the time in `Retry-After`, or after a growing back-off
  with jitter.
- Any other 4xx: a failure of that item.
- A redirect to another host, a rejected key, or no answer to any request: the client stops, and the questions that
  were not asked are postponed.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import httpx2 as httpx

from stages.base import Failure, FailureKind, Output, Postponed
from stages.llm.endpoint import Endpoint
from stages.llm.messages import ChatOutcome, Messages, Sampling, estimate_tokens
from stages.llm.responses import RequestOutcome
from stages.llm.transport import ChatTransport

# After this many failed items in a row, the endpoint is considered broken.
MAX_FAILURES = 10

MAX_BACK_OFF = 30.0  # seconds


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

    def fits(self, tokens: int) -> bool:
        """Return whether one more request of at most `tokens` tokens stays within the limits."""
        requests_left = self.max_requests is None or self.requests < self.max_requests
        tokens_left = self.max_tokens is None or self.tokens + self.reserved + tokens <= self.max_tokens
        return requests_left and tokens_left

    def reserve(self, tokens: int) -> None:
        """Count a request that begins and takes at most `tokens` tokens."""
        self.requests += 1
        self.reserved += tokens

    def settle(self, reserved: int, used: int) -> None:
        """Replace the reservation of a request that ended by the tokens that it used."""
        self.reserved -= reserved
        self.tokens += used

    def postpone(self) -> Postponed:
        """Return the outcome of an item that no budget is left for."""
        if self.max_requests is not None and self.requests >= self.max_requests:
            reason = f"{self.max_requests} requests were made, as many as --max-requests allows"
        else:
            reason = f"{self.tokens} tokens were used, and the next request may go beyond --max-tokens"
        return Postponed(reason=reason, hint="the same command again takes the next ones")


class ChatClient:
    """A client of one endpoint. Its budget and state last as long as the client, connections as long as a batch.

    Attributes:
        successes: Number of questions answered.
        failures_in_a_row: Number of questions that failed since the last success.
        retry_at: Time of `time.monotonic` before which the server wants no request.
        stopped: The outcome of all further questions once the client has stopped.
        is_gone: Whether the client stopped because the server no longer answers.
    """

    def __init__(self, endpoint: Endpoint, sampling: Sampling) -> None:
        """Check the endpoint and start with an unused budget.

        Raises:
            StageError: See `Endpoint.check`.
        """
        self.endpoint, self.sampling = endpoint, sampling
        self.transport = ChatTransport(endpoint, sampling)
        self.budget = Budget(endpoint.max_requests, endpoint.max_tokens)
        self.successes = self.failures_in_a_row = 0
        self.retry_at = 0.0
        self.stopped: Postponed | None = None
        self.is_gone = False

    def ask(self, chats: Sequence[Messages]) -> list[ChatOutcome]:
        """Return one outcome per chat, in order. Chats that were not asked, or all failed alike, are postponed."""
        return _run_async(self._ask_all(chats)) if chats else []

    async def _ask_all(self, chats: Sequence[Messages]) -> list[ChatOutcome]:
        slots, freed = asyncio.Semaphore(self.endpoint.concurrency), asyncio.Condition()
        async with self.transport.connect() as http, asyncio.TaskGroup() as group:

            async def ask(messages: Messages) -> ChatOutcome:
                async with slots:
                    return await self._ask_one(http, messages, freed)

            tasks = [group.create_task(ask(messages)) for messages in chats]
        return [self._excuse(task.result()) for task in tasks]

    def _excuse(self, outcome: ChatOutcome) -> ChatOutcome:
        """Postpone a question whose answer broke off because the server went away."""
        is_interrupted = isinstance(outcome, Failure) and outcome.kind is FailureKind.TRANSIENT
        return self.stopped if is_interrupted and self.is_gone and self.stopped else outcome

    async def _ask_one(self, http: httpx.AsyncClient, messages: Messages, freed: asyncio.Condition) -> ChatOutcome:
        """Ask until there is an answer or no retry is worthwhile. `freed` is notified if budget becomes free."""
        prompt_tokens = estimate_tokens(messages)
        max_tokens = prompt_tokens + self.sampling.max_tokens
        body = self.transport.build_body(messages)
        tries = requests = 0
        successes = self.successes
        while True:
            await self._wait_until_allowed()
            if not await self._reserve(max_tokens, freed):
                return self.stopped or self.budget.postpone()
            requests += 1
            outcome = await self._send(http, body, prompt_tokens, freed)
            if outcome.reply is not None:
                self.successes += 1
                self.failures_in_a_row = 0
                usage = outcome.reply.usage.model_copy(update={"requests": requests})
                return replace(outcome.reply, usage=usage)
            has_progress = self.successes > successes
            successes = self.successes
            # While a busy server answers a few questions a minute, every question gets its turn.
            tries = 0 if outcome.is_busy and has_progress else tries + 1
            if (final := self._give_up(outcome, tries, has_progress)) is not None:
                return final
            await self._wait_for_retry(outcome, tries)

    async def _send(
        self, http: httpx.AsyncClient, body: dict[str, Any], prompt_tokens: int, freed: asyncio.Condition
    ) -> RequestOutcome:
        """Send one request, and settle its reservation whatever happens."""
        used = 0
        try:
            outcome = await self.transport.send(http, body, prompt_tokens)
            used = outcome.reply.usage.tokens if outcome.reply else 0
            return outcome
        finally:
            async with freed:
                self.budget.settle(prompt_tokens + self.sampling.max_tokens, used)
                freed.notify_all()

    def _give_up(self, outcome: RequestOutcome, tries: int, has_progress: bool) -> Failure | Postponed | None:
        """Return the outcome of a question without an answer, None if it should be asked again."""
        if outcome.wait is not None and outcome.wait > self.endpoint.longest_wait:
            reason = f"{outcome.reason}, and asks to be left alone for {outcome.wait:.0f} s"
            return self._stop(reason, "the same command goes on later")
        if outcome.is_refusal and (outcome.is_fatal or not self.successes):
            return self._stop(outcome.reason, outcome.hint)
        if outcome.is_retryable and tries < self.endpoint.tries:
            return None
        # Once the server has answered, a timeout is the question's fault and must not stop the other questions.
        is_unavailable = outcome.is_unavailable or (outcome.is_timeout and not self.successes)
        if is_unavailable and not has_progress:
            self.is_gone = True
            return self._stop(outcome.reason, outcome.hint)
        self.failures_in_a_row += 1
        is_hopeless = outcome.kind is FailureKind.TRANSIENT or not self.successes
        if is_hopeless and self.failures_in_a_row >= MAX_FAILURES:
            count = f"{self.failures_in_a_row} requests in a row"
            self._stop(f"{count} had no answer of use, the last: {outcome.reason}", outcome.hint)
        return Failure(kind=outcome.kind, reason=outcome.reason)

    def _stop(self, reason: str, hint: str) -> Postponed:
        self.stopped = Postponed(reason=reason, hint=hint, broken=True)
        return self.stopped

    async def _wait_until_allowed(self) -> None:
        """Wait until the server wants requests again; jitter spreads the waiting requests."""
        while not self.stopped and (seconds := self.retry_at - time.monotonic()) > 0:
            await asyncio.sleep(seconds * (1 + 0.1 * random.random()) + 0.001)

    async def _wait_for_retry(self, outcome: RequestOutcome, tries: int) -> None:
        if outcome.wait is not None:
            self.retry_at = max(self.retry_at, time.monotonic() + outcome.wait)
        else:
            await asyncio.sleep(self.back_off(tries) * random.uniform(0.5, 1.0))

    def back_off(self, tries: int) -> float:
        """Return the maximum seconds to wait after this number of tries."""
        return min(MAX_BACK_OFF, self.endpoint.back_off * 2 ** max(0, tries - 1))

    async def _reserve(self, tokens: int, freed: asyncio.Condition) -> bool:
        """Reserve budget for a request, waiting while requests in flight may free some; False if there is none."""
        async with freed:
            while not self.stopped and not self.budget.fits(tokens):
                if not self.budget.reserved:
                    return False
                await freed.wait()
            if self.stopped:
                return False
            self.budget.reserve(tokens)
            return True


def _run_async(work: Coroutine[Any, Any, Output]) -> Output:
    """Run a coroutine to its end, also where an event loop is already running, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()
