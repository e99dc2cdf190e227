"""The training loop: Trainer.events() takes optimizer steps and yields events.

Like the lecture's, the loop evaluates every `eval_interval` steps, draws a batch, computes its
loss, and takes an optimizer step. Batches, dropout and learning rates are functions of the config
and the step, and the rest is in `state()`, so a resumed run equals an uninterrupted one.
"""

import contextlib
import copy
import math
import time
from functools import partial

import torch

from charlm.config import ConfigError, require
from charlm.data.batches import batch
from charlm.rng import DROPOUT, random_seeds
from charlm.training.compilation import compile_blocks, eager_stance, should_compile
from charlm.training.distributed import World
from charlm.training.evaluation import cross_entropy, estimate_val, evaluate, mean_loss
from charlm.training.events import End, Eval, Evaluating, Save, Snapshot, Start, Step
from charlm.training.facts import facts
from charlm.training.optim import make_optimizers, set_learning_rates, update_average
from charlm.training.precision import autocast, choose_precision
from charlm.training.snapshots import snapshot_schedule
from charlm.training.spinning import Spinning
from charlm.training.state import TrainerState, capture, restore


class Trainer:
    """Trains a model on a corpus; iterate over `events()` and act on them.

    `model` is trained; `eval_model` holds the weights that are evaluated and saved: averaged if
    `ema_decay` is on, and rounded to the precision they are stored in.
    """

    def __init__(
        self, config, model, corpus, tokenizer, start=None, device="cpu", world=None, teachers=None
    ):
        """Prepare a run of `config`, a TrainConfig.

        `start`: the TrainerState to resume from; None starts a new run. `world`: the processes of
        the run; each constructs the same Trainer and iterates over its events. `teachers`: those of
        the model, whose text must have been written before the first step.

        Raises DataError if the text is too short for the model's block_size, and ConfigError if
        `start` does not fit the model and its optimizers, if there are more processes than rows in
        a batch, or if CHARLM_PRECISION is invalid.
        """
        self.config, self.corpus, self.device = config, corpus, torch.device(device)
        self.world = world or World()
        enough_rows = config.batch_size >= self.world.size
        allowed = f"{self.world.size} or more, a row for each process"
        require(enough_rows, "batch_size", config.batch_size, allowed)
        corpus.check_room(model.config.block_size)
        self.train_ids, self.val_ids = corpus.split(tokenizer)
        self.teachers = teachers
        for teacher in teachers.models if teachers else ():
            teacher.to(self.device)
        self.model = model.to(self.device)
        self.eval_model = copy.deepcopy(self.model).eval()
        params = self.model.parameters() if config.ema_decay else ()
        self.average = [p.detach().clone() for p in params]
        self.optimizers = make_optimizers(self.model, config)
        self.precision = choose_precision(config.precision, self.device)
        self.step, self.start_time = 0, time.monotonic()
        self.stop_requested, self.stop_reason = False, ""  # in this process
        self.stopping = False  # True once all processes know of a request
        self.compile_stance, self.notes = None, []  # see torch.compiler.set_stance
        self.compiling = False
        self.evaluated = False  # at this step
        self.spinning = Spinning()
        self.snapshot_steps = snapshot_schedule(config.steps, config.snapshots)
        self._chars_per_step = config.batch_size * model.config.block_size
        if start is not None:
            self._restore(start)

    def events(self):
        """Train, yielding events in order.

        Store `state()` after a Save, and `eval_model` after a Snapshot, before the next event.
        Losses and weights that are not finite end the run as failed, unsaved.
        """
        try:
            yield from self._run()
        finally:
            self.spinning.close()

    def _run(self):
        self._compile()
        yield self._event(Start, **facts(self))
        while True:
            losses = None
            due = self.step % self.config.eval_interval == 0 or self.step == self.config.steps
            if due and not self.evaluated and self.world.rank == 0:
                losses = yield from self._evaluation()
                if losses and not all(map(math.isfinite, losses.values())):
                    yield self._divergence_event()
                    return
                if losses:
                    self.evaluated = True
                    yield self._event(Eval, **losses)
                    yield self._event(Save)
                elif self.stopping:
                    yield from self._stop(saved=False)
                    return
            if self.stopping and self.step < self.config.steps:
                yield from self._stop(saved=due)
                return
            # after the save, since a resumed run returns to it and repeats what came after
            due = self.step in self.snapshot_steps and self.world.rank == 0
            if due and (yield from self._snapshot(losses)):
                return
            if self.step == self.config.steps:
                yield self._event(End, reason="finished")
                return
            began = time.perf_counter()  # Windows counts monotonic time in ticks of 16 ms
            loss, lr = self._train_step()
            if not math.isfinite(loss):
                yield self._divergence_event()
                return
            if self.step % self.config.log_interval == 0:
                speed = round(self._chars_per_step / (time.perf_counter() - began), 1)
                yield self._event(Step, loss=loss, lr=lr, chars_per_second=speed)

    def stop(self, reason=""):
        """Request that the run save and end after this step; safe in a signal handler."""
        self.stop_requested, self.stop_reason = True, reason
        if self.world.size == 1:  # several processes agree in the next step
            self.stopping = True

    def state(self):
        """Return the current TrainerState, whose tensors the next step changes in place."""
        tensors = capture(self.model, self.average, self.optimizers)
        return TrainerState(self.step, self.elapsed, tensors, self.evaluated)

    def failure_event(self, message):
        """Return the event that ends the run as failed, for a reason outside the loop."""
        return self._event(End, reason="failed", message=message)

    def evaluate(self):
        """Yield (characters done, of all, losses): see `evaluation.evaluate`."""
        model = self._update_eval_model()
        parts = evaluate(model, self.train_ids, self.val_ids, self.config)
        while True:
            with autocast(self.precision, self.device), self.spinning.measured():
                part = next(parts, None)
            if part is None:
                return
            yield part

    @property
    def elapsed(self):
        """Seconds of training, those before a resumption included."""
        return time.monotonic() - self.start_time

    def _evaluation(self):
        """Yield an Evaluating event a second; return the losses, or None if the run shall stop."""
        # with several processes, the others wait for the next step, unless this was the last one
        can_stop, shown = self.world.size == 1 or self.step < self.config.steps, time.monotonic()
        for done, total, losses in self.evaluate():
            if losses:
                return losses
            if self.stop_requested and can_stop:
                return None
            if time.monotonic() - shown > 1:
                shown = time.monotonic()
                yield self._event(Evaluating, done=done, total=total)

    def _snapshot(self, losses):
        """Yield the Snapshot of this step, with `eval_model` updated; return whether it failed.

        `losses`: those of the evaluation of this step, if there was one.
        """
        model = self._update_eval_model()
        if losses:
            loss = losses["val_estimate"]
        else:
            with autocast(self.precision, self.device):
                loss = mean_loss(estimate_val(model, self.val_ids, self.config))
        failed = not math.isfinite(loss)
        yield self._divergence_event() if failed else self._event(Snapshot, val_estimate=loss)
        return failed

    def _train_step(self):
        """Take an optimizer step; return the loss of its batch and the learning rate."""
        with self.spinning.measured():
            loss = self._batch_loss(self.step)
            loss.backward()
        loss = self._sum_over_processes(loss.detach())
        if self.config.grad_clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.grad_clip)
        lr = set_learning_rates(self.optimizers, self.step, self.config)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        if self.config.ema_decay:
            update_average(self.average, self.model, self.step, self.config.ema_decay)
        self.step, self.evaluated = self.step + 1, False
        return loss.item(), lr

    def _batch_loss(self, step):
        """Return this process's part of the loss of a step's batch, the mean over all its rows."""
        config, rows = self.config, self.config.batch_size
        T = self.model.config.block_size
        own, seeds = self.world.rows(rows), random_seeds(rows, config.seed, step, DROPOUT)
        if self.teachers:
            x, y, written = self.teachers.batch(self.train_ids, T, config, step)
        else:
            x, y = batch(self.train_ids, rows, T, config.seed, step, config.order)  # (B, T) each
        x, y = x[own], y[own]
        self.model.train()
        with self._compiled(), autocast(self.precision, self.device):
            if self.teachers:
                y = self.teachers.targets(x, y, written[own])  # (B, T, V)
            loss = cross_entropy(self.model, x, y, seeds[own])
        return loss * (len(x) / rows)

    def _sum_over_processes(self, loss):
        """Sum gradients, losses and stop requests over all processes, in one exchange."""
        if self.world.size == 1:
            return loss
        grads = [p.grad for p in self.model.parameters()]
        stop = loss.new_tensor([self.stop_requested])
        flat = torch.cat([*(grad.flatten() for grad in grads), loss.view(1), stop]).cpu()
        self.world.all_reduce(flat)
        *sums, loss, stop = flat.split([*(grad.numel() for grad in grads), 1, 1])
        torch._foreach_copy_(grads, [s.view_as(g) for s, g in zip(sums, grads, strict=True)])
        self.stopping = stop.item() > 0
        return loss

    @torch.no_grad()
    def _update_eval_model(self):
        """Copy the current weights, averaged and rounded as configured, to `eval_model`."""
        weights = self.average or list(self.model.parameters())
        if self.config.store == "bf16":
            weights = [w.bfloat16() for w in weights]
        torch._foreach_copy_(list(self.eval_model.parameters()), weights)
        return self.eval_model

    def _stop(self, saved):
        """Yield the last events of a run that was asked to stop."""
        if not saved:
            if not all(p.isfinite().all() for p in self._update_eval_model().parameters()):
                yield self._divergence_event()
                return
            yield self._event(Save)
        yield self._event(End, reason="stopped", message=self.stop_reason)

    def _restore(self, start):
        try:
            with torch.no_grad():
                restore(start, self.model, self.average, self.optimizers)
        except (KeyError, ValueError, RuntimeError) as error:
            misfit = " ".join(str(error).split())[:200]
            raise ConfigError(f"the resume state does not fit this run: {misfit}") from None
        self.step, self.evaluated = start.step, start.evaluated
        self.start_time -= start.time

    def _compile(self):
        if (
            self.stopping
            or self.step == self.config.steps
            or not should_compile(self.config, self.model, self.device)
        ):
            return
        self.compile_stance, self.compiling = "default", self.world.size == 1
        try:
            loss = partial(self._batch_loss, self.step)
            failure = compile_blocks(self.model, loss, self.precision)
        except KeyboardInterrupt:  # see signals.request_stop
            failure = "the run was stopped while it was being compiled"
        finally:
            self.compiling = False
        if failure:
            self.compile_stance = eager_stance()
            self.notes.append(failure)

    def _compiled(self):
        """Return a context in which compiled blocks are used, unless compiling failed."""
        if self.compile_stance is None:  # set_stance imports torch._dynamo, which takes 1.5 s
            return contextlib.nullcontext()
        return torch.compiler.set_stance(self.compile_stance)

    def _event(self, event, **values):
        return event(step=self.step, time=round(self.elapsed, 3), **values)

    def _divergence_event(self):
        return self.failure_event(
            f"the loss is not finite at step {self.step}; try a smaller learning rate"
        )
