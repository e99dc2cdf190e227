"""Trainer.events(): the only training loop there is, told as a sequence of events."""

import contextlib
import copy
import math
import os
import time
from dataclasses import asdict

import torch
import torch.nn.functional as F

from charlm.config import ConfigError, require
from charlm.data.baselines import baselines
from charlm.data.batches import batch, windows
from charlm.rng import fold_in
from charlm.rounding import rounding
from charlm.training.distributed import World
from charlm.training.events import End, Eval, Save, Start, Step
from charlm.training.optim import lr_scale, make_optimizers
from charlm.training.state import TrainerState

COMPILE_FROM = 100  # steps; a shorter run is over before compiling has paid


class Trainer:
    """Trains a model on a corpus; iterate over `events()` and act on what you see."""

    def __init__(self, config, model, corpus, tokenizer, start=None, device="cpu", world=None):
        """`config`: TrainConfig. `start`: the TrainerState to go on from; None begins anew.

        `world`: the processes that share this run; all are given the same, and all iterate.

        Raises DataError if the text is too short for the model's block_size, and ConfigError if
        `start` is not the state of such a model and such optimizers.
        """
        self.config, self.corpus, self.device = config, corpus, torch.device(device)
        self.world = world or World()
        processes = self.world.size
        require(
            config.batch_size >= processes,
            "batch_size",
            config.batch_size,
            f"{processes} or more, a row for each process",
        )
        corpus.check_room(model.config.block_size)
        self.train_ids, self.val_ids = corpus.split(tokenizer)
        self.model = model.to(self.device)
        self.kept_model = copy.deepcopy(self.model)
        self.average = [p.detach().clone() for p in self.model.parameters()]
        self.optimizers = make_optimizers(self.model, config)
        self.step, self.resumed = 0, start is not None
        self.stopping = self.stop_requested = (
            False  # what all agreed on; what this process was told
        )
        self.stop_reason = ""
        self.began = time.monotonic()
        self.stance, self.notes = None, []  # towards what was compiled, if anything was
        self.precision = choose_precision(config.precision, self.device)
        if start is not None:
            try:
                self._restore(start)
            except (KeyError, ValueError, RuntimeError) as error:
                told = " ".join(str(error).split())[:200]
                raise ConfigError(f"the resume state does not fit this run: {told}") from None

    @property
    def elapsed(self):
        return time.monotonic() - self.began

    def stop(self, why=""):
        """Ask the run to save and end after the step it is in; safe from a signal handler."""
        self.stop_requested, self.stop_reason = True, why
        if self.world.size == 1:  # several processes agree on it in the next step
            self.stopping = True

    def events(self):
        """Train, yielding events in order; after a Save, store `state()` before going on.

        A loss that is not finite ends the run as failed, with nothing saved since it was finite.
        """
        self._compile()
        yield self._start()
        evaluated = self.resumed  # the resumed state was saved after its step's evaluation
        while True:
            due = self.step % self.config.eval_interval == 0 or self.step == self.config.steps
            if due and not evaluated and self.world.rank == 0:
                losses = self._evaluate()
                if not all(map(math.isfinite, losses.values())):
                    yield self._diverged()
                    return
                yield self._now(Eval, **losses)
                yield self._now(Save)
            if self.step == self.config.steps:
                yield self._now(End, reason="finished")
                return
            if self.stopping:
                if not due:
                    if not all(p.isfinite().all() for p in self._keep().parameters()):
                        yield self._diverged()
                        return
                    yield self._now(Save)
                yield self._now(End, reason="stopped", message=self.stop_reason)
                return
            began = time.monotonic()
            loss, lr = self._train_step()
            evaluated = False
            if not math.isfinite(loss):
                yield self._diverged()
                return
            if self.step % self.config.log_interval == 0:
                chars = self.config.batch_size * self.model.config.block_size
                speed = chars / (time.monotonic() - began)
                yield self._now(Step, loss=loss, lr=lr, chars_per_second=round(speed, 1))

    def state(self):
        """The TrainerState of this moment."""
        tensors = {f"model.{name}": t for name, t in self.model.state_dict().items()}
        if self.config.ema_decay:
            tensors |= {f"average.{i}": t for i, t in enumerate(self.average)}
        for n, optimizer in enumerate(self.optimizers):
            for index, values in enumerate(optimizer.state.values()):
                tensors |= {f"optimizer.{n}.{index}.{name}": t for name, t in values.items()}
        return TrainerState(self.step, self.elapsed, tensors)

    def _restore(self, start):
        self.step = start.step
        self.began -= start.time
        parts = {}
        for name, tensor in start.tensors.items():
            part, _, rest = name.partition(".")
            parts.setdefault(part, {})[rest] = tensor
        self.model.load_state_dict(parts["model"])
        if self.config.ema_decay:
            self.average = [
                parts["average"][str(i)].to(self.device) for i in range(len(self.average))
            ]
        for n, optimizer in enumerate(self.optimizers if start.step else ()):
            for index, values in enumerate(optimizer.state.values()):
                for name, tensor in values.items():
                    saved = parts["optimizer"][f"{n}.{index}.{name}"]
                    if saved.shape != tensor.shape:
                        raise ValueError(f"optimizer.{n}.{index}.{name} has another shape")
                    tensor.copy_(saved)

    def _now(self, event, **values):
        return event(step=self.step, time=round(self.elapsed, 3), **values)

    def _start(self):
        return self._now(
            Start,
            config={
                "kind": self.model.kind,
                "model": asdict(self.model.config),
                "training": asdict(self.config),
            },
            data={"name": self.corpus.name, "sha256": self.corpus.sha256},
            baselines=baselines(self.train_ids, self.val_ids, self.model.config.vocab_size),
            parameters=sum(p.numel() for p in self.model.parameters()),
            device=self.device.type,
            precision=self.precision,
            mkl_cbwr=rounding(),
            compiled=self.stance == "default",
            notes=tuple(self.notes),
        )

    def failed(self, message):
        """The event that ends the run because of what `message` says."""
        return self._now(End, reason="failed", message=message)

    def _diverged(self):
        return self.failed(
            f"the loss is not finite at step {self.step}; try a smaller learning rate"
        )

    def _compile(self):
        """Compile the blocks if asked to and able to, on a first batch; otherwise say why not."""
        wanted = self.config.compile == "on" or (
            self.config.compile == "auto"
            and self.config.steps >= COMPILE_FROM  # not what is left: a resumed run rounds alike
            and self.device.type in ("cpu", "cuda")
        )
        if not wanted or not len(self.model.blocks) or self.step == self.config.steps:
            return
        for block in self.model.blocks:
            block.compile()  # the same code in each of a kind, so it is compiled once
        self.stance = "default"
        try:
            # computing a mask again for the backward pass is cheaper than storing booleans: it
            # halved a step of the `gpt` preset (checkpoints/README.md, 2026-11-23)
            with torch._functorch.config.patch(aggressive_recomputation=True):
                self._loss(self.step).backward()
        except Exception as error:  # whatever is missing: real faults come again without compiling
            self.stance = "force_eager"
            reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
            self.notes.append(f"training without torch.compile, which failed here: {reason}")
        self.model.zero_grad()

    def _loss(self, step):
        """This process's part of the loss of a step's batch, the mean over all its characters."""
        config, mine = self.config, self.world.rows(self.config.batch_size)
        rows, T = config.batch_size, self.model.config.block_size
        x, y = batch(self.train_ids, rows, T, config.seed, step, config.order)
        # dropout, too, is a function of the step and the row
        generator = torch.Generator().manual_seed(fold_in(config.seed, step, 1))
        seeds = torch.randint(-(2**31), 2**31, (rows,), generator=generator, dtype=torch.int32)
        self.model.train()
        # only then: it imports torch._dynamo, which takes 1.5 s
        stance = torch.compiler.set_stance(self.stance) if self.stance else contextlib.nullcontext()
        with stance, self._autocast():
            loss = self._cross_entropy(self.model, x[mine], y[mine], seeds[mine])
        return loss * (len(x[mine]) / rows)

    def _train_step(self):
        loss = self._loss(self.step)
        loss.backward()
        loss = self._all_reduce(loss.detach())
        if self.config.grad_clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.grad_clip)
        scale = lr_scale(self.step, self.config)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak_lr"] * scale
            optimizer.step()
            optimizer.zero_grad()
        if self.config.ema_decay:
            # a decay that grows with the steps forgets the random start soon
            decay = min(self.config.ema_decay, (self.step + 1) / (self.step + 10))
            with torch.no_grad():
                torch._foreach_lerp_(self.average, list(self.model.parameters()), 1 - decay)
        self.step += 1
        return loss.item(), self.config.learning_rate * scale

    def _all_reduce(self, loss):
        """Add gradients, losses and requests to stop of all processes, in one exchange."""
        if self.world.size == 1:
            return loss
        grads = [p.grad for p in self.model.parameters()]
        told = loss.new_tensor([self.stop_requested])
        flat = torch.cat([*(grad.flatten() for grad in grads), loss.view(1), told]).cpu()
        self.world.all_reduce(flat)
        *sums, loss, told = flat.split([*(grad.numel() for grad in grads), 1, 1])
        torch._foreach_copy_(
            grads, [total.view_as(g) for total, g in zip(sums, grads, strict=True)]
        )
        self.stopping = told.item() > 0
        return loss

    @torch.no_grad()
    def _evaluate(self):
        """The losses of an Eval."""
        config, model = self.config, self._keep()
        T = model.config.block_size
        with self._autocast():
            # the same batches at every evaluation, none of them a batch that training sees
            train = self._estimate(model, self.train_ids, fold_in(config.seed, 2))
            val = self._estimate(model, self.val_ids, fold_in(config.seed, 4))
            total = 0.0
            for x, y in windows(self.val_ids, T, max(1, 8192 // T)):
                total += self._cross_entropy(model, x, y).item() * y.numel()
        whole = total / (len(self.val_ids) - 1)
        return {"train_loss": train, "val_loss": whole, "val_estimate": val}

    def _estimate(self, model, ids, seed):
        """Mean loss over eval_iters random batches of `ids`."""
        n, T = self.config.eval_iters, min(model.config.block_size, len(ids) - 1)
        batches = (batch(ids, self.config.batch_size, T, seed, i) for i in range(n))
        return sum(self._cross_entropy(model, x, y).item() for x, y in batches) / n

    @torch.no_grad()
    def _keep(self):
        """Bring `kept_model`, which is evaluated and saved, up to date: averaged, rounded."""
        weights = self.average if self.config.ema_decay else list(self.model.parameters())
        if self.config.store == "bf16":
            weights = [w.bfloat16() for w in weights]
        torch._foreach_copy_(list(self.kept_model.parameters()), weights)
        return self.kept_model.eval()

    def _cross_entropy(self, model, x, y, seeds=None):
        logits = model(x.to(self.device), seeds=seeds)
        return F.cross_entropy(logits.flatten(0, 1), y.to(self.device).flatten())

    def _autocast(self):
        if self.precision == "bf16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return contextlib.nullcontext()


def choose_precision(wanted, device):
    """The precision asked for; for "auto", $CHARLM_PRECISION or the one this hardware is made for.

    Raises ConfigError if CHARLM_PRECISION is neither auto, fp32 nor bf16.
    """
    if wanted == "auto":
        wanted = os.environ.get("CHARLM_PRECISION", "").strip() or "auto"
        allowed = ("auto", "fp32", "bf16")
        require(wanted in allowed, "CHARLM_PRECISION", wanted, f"one of {', '.join(allowed)}")
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    if device.type == "cpu":
        # a CPU without instructions for it emulates bf16, a hundred times slower
        able = getattr(torch.cpu, "get_capabilities", dict)()
        return "bf16" if able.get("avx512_bf16") or able.get("amx_bf16") else "fp32"
    return "fp32"
