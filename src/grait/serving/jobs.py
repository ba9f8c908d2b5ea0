"""Requests on their way to the model: one each, the batches in which they are decoded, and what comes back."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Protocol

from grait.commands.finished import LiveRun
from grait.errors import GraitError, ServerError, reason
from grait.model.engine import Tokens, Watch
from grait.model.inference import InferenceEngine
from grait.model.served import ServedModel, Wanted, decoder
from grait.serving.asked import Asked
from grait.serving.deciding import Deciding

GATHER_SECONDS = 0.005
"""A batch waits so long for requests that come at the same moment."""

AGAIN_SECONDS = 0.05
"""So long after a batch of several the next one begins: else the clients that were just answered ask again too late,
and two groups of clients wait for each other's batches from then on."""


class Job(Deciding):
    """One request. The model's thread tells it what it decodes, and it wakes the client's coroutine. ``failure``: why
    there is no answer. ``leave``: the client has gone; nothing more is decoded."""

    def __init__(self, asked: Asked, decode: Callable[[list[Any], Tokens], str]) -> None:
        super().__init__(asked, decode)
        self.failure: GraitError | None = None
        self._loop, self._news, self._has_left = asyncio.get_running_loop(), asyncio.Event(), False

    async def news(self) -> None:
        """Wait until there is more of the answer, or it has failed."""
        await self._news.wait()
        self._news.clear()

    def leave(self) -> None:
        self._has_left = True

    @property
    def is_needed(self) -> bool:
        return not (self._has_left or self.is_finished or self.failure)

    def goes_on(self, sample: int, token_ids: list[Any], logprobs: list[float], has_ended: bool) -> bool:
        if self._has_left or self.failure:
            return False
        try:
            return super().goes_on(sample, token_ids, logprobs, has_ended)
        except GraitError as error:
            self.fail(error)
            return False
        finally:
            if sample == self._sample:
                self._wake()

    def begun(self, refusal_logprobs: list[float], is_both: bool) -> None:
        try:
            super().begun(refusal_logprobs, is_both)
        except GraitError as error:
            self.fail(error)

    def end(self) -> None:
        """No more tokens come."""
        if self.is_needed:
            self.closed()
            self._wake()

    def fail(self, error: GraitError) -> None:
        """Nothing more comes."""
        if self.is_needed:
            self.failure = error
            self._wake()

    def _wake(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._news.set)


class Line(Protocol):
    """Where jobs wait for the model."""

    decode: Callable[[list[Any], Tokens], str]
    """Parts of an answer, as its jobs are told of them, and the token before them, to text with its blanks."""

    def put(self, job: Job) -> None: ...

    def close(self) -> None:
        """When all jobs are done."""


class _Told(Watch):
    """Tells each job of its own prompt."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs = jobs

    def begun(self, prompt: int, completion_logprobs: list[float], is_both: bool) -> None:
        self._jobs[prompt].begun(completion_logprobs, is_both)

    def goes_on(self, prompt: int, sample: int, token_ids: list[int], logprobs: list[float], has_ended: bool) -> bool:
        return self._jobs[prompt].goes_on(sample, token_ids, logprobs, has_ended)


def answer_together(engine: InferenceEngine, jobs: Sequence[Job]) -> None:
    """Decode the answers of jobs with the same end tokens; each ends as it is done. None is left without a word."""
    try:
        ask_again(engine, jobs)
        engine.answers_both_ways(
            [job.asked.prompt.token_ids for job in jobs],
            [job.asked.refusal_token_ids for job in jobs],
            max_new_tokens=max(job.asked.n_decoded for job in jobs),
            end_token_ids=jobs[0].asked.end_token_ids,
            watch=_Told(jobs),
        )
        error: GraitError = ServerError("the model gave no answer", 500)
    except GraitError as raised:
        error = raised
    except Exception as raised:  # of torch, such as no memory left: these requests fail, the server lives on
        error = ServerError(f"the model could not answer: {reason(raised)}", 500)
    for job in jobs:
        job.fail(error)


def ask_again(engine: InferenceEngine, jobs: Sequence[Job]) -> None:
    """The questions of dials that ask twice, in their terse form."""
    asked = [(job, job.asked.again) for job in jobs if job.asked.again]
    for ends in dict.fromkeys(again.end_token_ids for _, again in asked):
        own = [(job, again) for job, again in asked if again.end_token_ids == ends]
        found = engine.answers_both_ways(
            [again.prompt.token_ids for _, again in own],
            [again.refusal_token_ids for _, again in own],
            max_new_tokens=own[0][0].asked.n_scored,
            end_token_ids=ends,
        )
        for (job, _), both in zip(own, found, strict=True):
            job.terse_logprob = sum(both.suppressed_logprobs)


class Batches:
    """Jobs for a run's model in this process: those that wait are decoded together, by one thread. ``most``: of one
    batch."""

    def __init__(self, run: LiveRun, engine: InferenceEngine, most: int) -> None:
        self._engine, self._alone, self._most = engine, run.alone, most
        self.decode: Callable[[list[Any], Tokens], str] = run.data.prompts.written
        self._waiting: list[Job] = []
        self._change, self._is_closed = threading.Condition(), False
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    def put(self, job: Job) -> None:
        with self._change:
            self._waiting.append(job)
            self._change.notify()

    def close(self) -> None:
        with self._change:
            self._is_closed = True
            self._change.notify()
        self._thread.join()

    def _run(self) -> None:
        not_before = 0.0
        while True:
            with self._change:
                self._change.wait_for(lambda: self._waiting or self._is_closed)
                if not self._waiting:
                    return
            time.sleep(max(GATHER_SECONDS, not_before - time.monotonic()))
            if jobs := self._taken():
                with self._alone:
                    answer_together(self._engine, jobs)
                not_before = time.monotonic() + (len(jobs) > 1) * AGAIN_SECONDS

    def _taken(self) -> list[Job]:
        """The first that waits, and all that can be decoded with it."""
        with self._change:
            waiting = [job for job in self._waiting if job.is_needed]
            taken: list[Job] = []
            for job in waiting:
                together = [*taken, job]
                n_prompt = max(len(one.asked.prompt.token_ids) for one in together)
                is_short = n_prompt + max(one.asked.n_decoded for one in together) <= self._engine.longest
                has_same_ends = job.asked.end_token_ids == together[0].asked.end_token_ids
                if is_short and has_same_ends and len(taken) < self._most:
                    taken = together
            self._waiting = [job for job in waiting if job not in taken]
            return taken


class Singly:
    """Jobs for a model elsewhere, which has batches of its own: each in a thread. ``most``: at once."""

    def __init__(self, model: ServedModel, most: int) -> None:
        self._model = model
        self._pool = ThreadPoolExecutor(most, thread_name_prefix="upstream")
        self.decode: Callable[[list[Any], Tokens], str] = decoder(model.prompts)

    def put(self, job: Job) -> None:
        self._pool.submit(self._answer, job)

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _answer(self, job: Job) -> None:
        if not job.is_needed:
            return
        try:
            asked, dial = job.asked, job.asked.dial
            prompts, prompt = self._model.prompts, asked.prompt
            if not self._model.abilities.takes_tokens:
                if prompts.tokens(prompt.text, prompt.is_chat) != prompt.token_ids:
                    raise ServerError("the upstream takes text, which has other tokens than the prompt; send text", 400)
            model = replace(self._model, server=self._model.server.asked_while(lambda: job.is_needed))
            if again := asked.again:
                ends, n = again.end_token_ids, asked.n_scored
                job.terse_logprob = model.suppressed_logprob(Wanted(again.prompt, again.refusal_token_ids, ends, n, n))
            wanted = Wanted(
                prompt,
                asked.refusal_token_ids,
                asked.end_token_ids,
                asked.n_answer,
                asked.n_scored if dial else 0,
                needs_refusal=dial is not None and dial.takes_refusal,
                is_alone=job.is_shut,
            )
            model.answer(wanted, job)
            job.end()
        except GraitError as error:
            job.fail(error)
        except Exception as error:  # of torch, where the model is asked here, too
            job.fail(ServerError(f"the model could not answer: {reason(error)}", 500))
