"""Many questions to an OpenAI-compatible endpoint at once: bounded, patient, and never fooled by a broken answer.

What a server may do wrong is met as follows. It does not answer, or with 408, 425, 429 or 5xx: asked again, after
the time that `Retry-After` names or a growing one with jitter. Another 4xx: a failure of that item. It redirects to
another host, refuses the key, or answers nobody at all: the client stops, and what was not asked is `Postponed`.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx2 as httpx

from stages.base import Failure, FailureKind, Postponed
from stages.llm.budget import Budget
from stages.llm.endpoint import Endpoint
from stages.llm.messages import Messages, Reply, Sampling, UnusableReplyError, estimated_tokens, read_reply
from stages.llm.responses import Answer, Verdict, judge, retry_after

MOST_REDIRECTS = 3

# Items that may fail one after the other before it is the endpoint that is taken to be at fault.
MOST_IN_A_ROW = 10

LONGEST_BACK_OFF = 30.0

Outcome = Reply | Failure | Postponed

Done = TypeVar("Done")


@dataclass(slots=True)
class Standing:
    """What a client has learned of its endpoint. Times are of `time.monotonic`."""

    successes: int = 0
    failed_in_a_row: int = 0
    open_at: float = 0.0
    stopped: Postponed | None = None
    gone: bool = False  # stopped, and because nothing serves any more


class ChatClient:
    """Asks one endpoint. Budget and standing last from batch to batch, connections no longer than one."""

    def __init__(self, endpoint: Endpoint, sampling: Sampling | None = None) -> None:
        """
        Raises:
            StageError: see `Endpoint.check`.
        """
        endpoint.check()
        self.endpoint, self.sampling = endpoint, sampling or Sampling()
        self.budget = Budget(endpoint.max_requests, endpoint.max_tokens)
        self.standing = Standing()
        self.url = httpx.URL(endpoint.url.rstrip("/") + "/chat/completions")
        self.random = random.Random()
        # Read once: the certificates of this machine take longer to read than a server here takes to answer.
        self.tls = httpx.create_ssl_context() if self.url.scheme == "https" else False

    def ask(self, questions: Sequence[Messages]) -> list[Outcome]:
        """One outcome a question, in order. What was not asked, or in vain as all others were, is postponed."""
        return run_async(lambda: self.ask_all(questions)) if questions else []

    async def ask_all(self, questions: Sequence[Messages]) -> list[Outcome]:
        outcomes: list[Outcome | None] = [None] * len(questions)
        waiting = iter(range(len(questions)))
        freed = asyncio.Condition()

        async def worker(http: httpx.AsyncClient) -> None:
            for number in waiting:
                outcomes[number] = await self.ask_one(http, questions[number], freed)

        async with self.connections() as http, asyncio.TaskGroup() as group:
            for _ in range(min(self.endpoint.concurrency, len(questions))):
                group.create_task(worker(http))
        return [self.excused(outcome) for outcome in outcomes if outcome is not None]

    def excused(self, outcome: Outcome) -> Outcome:
        """A server that dies breaks off the answers under way: those questions are as good as the ones to come."""
        broken_off = isinstance(outcome, Failure) and outcome.kind is FailureKind.TRANSIENT
        return self.standing.stopped if broken_off and self.standing.gone and self.standing.stopped else outcome

    def connections(self) -> httpx.AsyncClient:
        settings = self.endpoint
        # Compressed answers are not asked for: a small one may unpack to gigabytes.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if key := settings.key():
            headers["Authorization"] = f"Bearer {key}"
        return httpx.AsyncClient(
            headers=headers,
            verify=self.tls,
            timeout=httpx.Timeout(settings.read, connect=settings.connect, pool=None),
            limits=httpx.Limits(
                max_connections=settings.concurrency, max_keepalive_connections=settings.concurrency
            ),
            follow_redirects=False,
            trust_env=settings.remote,  # a proxy is another machine
        )

    async def ask_one(self, http: httpx.AsyncClient, messages: Messages, freed: asyncio.Condition) -> Outcome:
        """Ask until there is an answer, or none is to be hoped for."""
        expected = estimated_tokens(messages)
        body = self.body(messages)
        tries = requests = 0
        answered = self.standing.successes
        while True:
            await self.open_again()
            if not await self.admitted(expected + self.sampling.max_tokens, freed):
                return self.standing.stopped or self.budget.spent()
            requests += 1
            used = 0
            try:
                verdict = await self.attempt(http, body, expected)
                used = verdict.reply.usage.tokens if verdict.reply else 0
            finally:
                async with freed:
                    self.budget.settle(expected + self.sampling.max_tokens, used)
                    freed.notify_all()
            if verdict.reply is not None:
                self.standing.successes += 1
                self.standing.failed_in_a_row = 0
                usage = verdict.reply.usage.model_copy(update={"requests": requests})
                return Reply(verdict.reply.text, verdict.reply.model, verdict.reply.finish, usage)
            progress = self.standing.successes > answered
            answered = self.standing.successes
            # Of many who wait for a server that answers a few a minute, each will have its turn.
            tries = 0 if verdict.busy and progress else tries + 1
            if (done := self.given_up(verdict, tries, progress)) is not None:
                return done
            await self.wait(verdict, tries)

    def given_up(self, verdict: Verdict, tries: int, progress: bool) -> Failure | Postponed | None:
        """What becomes of an item without an answer: nothing yet where it is to be asked again."""
        standing = self.standing
        failure = Failure(kind=verdict.kind, reason=verdict.reason)
        stop = Postponed(reason=verdict.reason, hint=verdict.hint, broken=True)
        if verdict.wait is not None and verdict.wait > self.endpoint.longest_wait:
            reason = f"{verdict.reason}, and asks to be left alone for {verdict.wait:.0f} s"
            standing.stopped = Postponed(reason=reason, hint="the same command goes on later", broken=True)
            return standing.stopped
        if verdict.refusal and (verdict.fatal or not standing.successes):
            standing.stopped = stop
            return stop
        if verdict.again and tries < self.endpoint.tries:
            return None
        if verdict.unavailable and not progress:
            standing.stopped, standing.gone = stop, True
            return stop
        standing.failed_in_a_row += 1
        hopeless = verdict.kind is FailureKind.TRANSIENT or not standing.successes
        if hopeless and standing.failed_in_a_row >= MOST_IN_A_ROW:
            reason = (
                f"{standing.failed_in_a_row} requests in a row had no answer of use, the last: {verdict.reason}"
            )
            standing.stopped = Postponed(reason=reason, hint=verdict.hint, broken=True)
        return failure

    async def open_again(self) -> None:
        """Wait until the server wants to be asked, each request a little later than the others."""
        while not self.standing.stopped and (left := self.standing.open_at - time.monotonic()) > 0:
            await asyncio.sleep(left * (1 + 0.1 * self.random.random()) + 0.001)

    async def wait(self, verdict: Verdict, tries: int) -> None:
        if verdict.wait is not None:
            self.standing.open_at = max(self.standing.open_at, time.monotonic() + verdict.wait)
            return
        longest = min(LONGEST_BACK_OFF, self.endpoint.back_off * 2 ** max(0, tries - 1))
        await asyncio.sleep(longest * self.random.uniform(0.5, 1.0))

    async def admitted(self, tokens: int, freed: asyncio.Condition) -> bool:
        """Whether there is budget left for a request; waits while what is in flight may leave some."""
        async with freed:
            while not self.standing.stopped and not self.budget.fits(tokens):
                if not self.budget.in_flight:
                    return False
                await freed.wait()
            if self.standing.stopped:
                return False
            self.budget.reserve(tokens)
            return True

    async def attempt(self, http: httpx.AsyncClient, body: dict[str, Any], expected: int) -> Verdict:
        """One request, redirects within the host included, and what came of it."""
        try:
            async with asyncio.timeout(self.endpoint.total):
                answer = await self.fetch(http, body)
        except TimeoutError:
            return self.late(f"no whole answer within {self.endpoint.total:g} s")
        except httpx.TimeoutException as error:
            return self.late(f"no answer in time ({type(error).__name__})")
        except httpx.ConnectError:
            hint = "start the server, or check the endpoint; the same command goes on"
            return Verdict(f"{self.where} does not answer", hint, again=True, unavailable=True)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return Verdict(f"the answer broke off ({type(error).__name__})", again=True)
        return self.read(answer, expected)

    def late(self, reason: str) -> Verdict:
        """A question that is too hard for a server must not stand in the way of those that were not asked yet."""
        return Verdict(reason, "is it the right endpoint?", again=True, unavailable=not self.standing.successes)

    def read(self, answer: Answer, expected: int) -> Verdict:
        if answer.status != 200:
            return self.clean(judge(answer, self.where, self.endpoint.key_variable))
        if answer.too_long:
            limit = self.endpoint.max_bytes
            return Verdict(f"the answer is longer than {limit} bytes", kind=FailureKind.PERMANENT)
        try:
            reply = read_reply(answer.content, expected)
        except UnusableReplyError as bad:
            return self.clean(Verdict(str(bad), kind=bad.kind, again=bad.again))
        text, model, finish = map(self.without_key, (reply.text, reply.model, reply.finish))
        return Verdict("", reply=Reply(text, model, finish, reply.usage))

    async def fetch(self, http: httpx.AsyncClient, body: dict[str, Any]) -> Answer:
        url = self.url
        for _ in range(MOST_REDIRECTS + 1):
            async with http.stream("POST", url, json=body) as response:
                target = self.same_place(response)
                if target is None:
                    return await self.received(response)
                url = target
        return Answer(508, b"", None)

    def same_place(self, response: httpx.Response) -> httpx.URL | None:
        """Where a redirect leads that keeps the method, as long as it stays with this very server."""
        if response.status_code not in (307, 308) or "location" not in response.headers:
            return None
        target = response.url.join(response.headers["location"])
        here = (self.url.scheme, self.url.host, self.url.port)
        return target if (target.scheme, target.host, target.port) == here else None

    async def received(self, response: httpx.Response) -> Answer:
        """The answer up to the limit of its size, which holds for one that never ends too."""
        encoding = response.headers.get("content-encoding", "identity").lower()
        wait = retry_after(response.headers.get("retry-after"), response.headers.get("date"))
        content = bytearray()
        async for chunk in response.aiter_raw():
            content += chunk
            if len(content) > self.endpoint.max_bytes:
                return Answer(response.status_code, b"", wait, too_long=True)
        if encoding not in ("identity", ""):
            content = bytearray()  # not unpacked: it was not asked for
        location = response.headers.get("location", "")
        return Answer(response.status_code, bytes(content), wait, location=location)

    def body(self, messages: Messages) -> dict[str, Any]:
        said = [message.to_json() for message in messages]
        whole = {"model": self.endpoint.model, "messages": said, **self.sampling.to_json(), "stream": False}
        merged = {**whole, **self.endpoint.extra}
        return {name: value for name, value in merged.items() if value is not None}

    @property
    def where(self) -> str:
        port = f":{self.url.port}" if self.url.port else ""
        return f"{self.url.host}{port}"

    def clean(self, verdict: Verdict) -> Verdict:
        return verdict.said(self.without_key(verdict.reason))

    def without_key(self, text: str) -> str:
        """A server's words without the key, which it may have sent back."""
        key = self.endpoint.key()
        return text.replace(key, "[key]") if key else text


def run_async(work: Callable[[], Awaitable[Done]]) -> Done:
    """Run to the end, also where somebody else's event loop is running, as in a notebook."""

    async def whole() -> Done:
        return await work()

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(whole())
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, whole()).result()
