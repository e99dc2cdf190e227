"""Trainer.events(): the only training loop there is, told as a sequence of events."""

import contextlib
import copy
import math
import time
from dataclasses import asdict, dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F

from charlm.config import ConfigError
from charlm.data import batch, fold_in
from charlm.optim import lr_scale, make_optimizers

COMPILE_FROM = 100  # steps; a shorter run is over before compiling has paid


@dataclass(frozen=True)
class Start:
    """A run begins: everything that it is a function of, and where it happens."""

    event: ClassVar[str] = "start"
    step: int
    time: float  # seconds since the run's start, over all its resumptions
    config: dict
    data: dict  # name, sha256
    parameters: int
    device: str
    precision: str
    compiled: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Step:
    """An optimizer step: the loss of its batch, in nats per character."""

    event: ClassVar[str] = "step"
    step: int
    time: float
    loss: float
    lr: float
    chars_per_second: float


@dataclass(frozen=True)
class Eval:
    """Losses in nats per character: random training batches, and the whole validation split."""

    event: ClassVar[str] = "eval"
    step: int
    time: float
    train_loss: float
    val_loss: float


@dataclass(frozen=True)
class Sample:
    """What the model writes at this step."""

    event: ClassVar[str] = "sample"
    step: int
    time: float
    text: str


@dataclass(frozen=True)
class Save:
    """The moment to save `trainer.state()`."""

    event: ClassVar[str] = "save"
    step: int
    time: float


@dataclass(frozen=True)
class End:
    """The run is over: `reason` is finished, stopped or failed."""

    event: ClassVar[str] = "end"
    step: int
    time: float
    reason: str
    message: str = ""


@dataclass(frozen=True)
class TrainerState:
    """Everything that a run needs to go on as if it had never stopped."""

    step: int
    time: float
    tensors: dict = field(repr=False)  # name -> tensor: weights, their average, optimizer state


class Trainer:
    """Trains a model on a corpus; iterate over `events()` and act on what you see."""

    def __init__(self, config, model, corpus, tokenizer, start=None, device="cpu"):
        """`config`: TrainConfig. `start`: the TrainerState to go on from; None begins anew.

        Raises DataError if the text is too short for the model's block_size, and ConfigError if
        `start` is not the state of such a model and such optimizers.
        """
        self.config, self.corpus, self.device = config, corpus, torch.device(device)
        corpus.check_room(model.config.block_size)
        self.train_ids, self.val_ids = corpus.split(tokenizer)
        self.model = model.to(self.device)
        self.kept_model = copy.deepcopy(self.model)
        self.average = [p.detach().clone() for p in self.model.parameters()]
        self.optimizers = make_optimizers(self.model, config)
        self.step, self.resumed, self.stopping = 0, start is not None, False
        self.began = time.monotonic()
        self.stance, self.notes = "force_eager", []
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

    def stop(self):
        """Ask the run to save and end after the step it is in; safe from a signal handler."""
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
            if due and not evaluated:
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
                yield self._now(End, reason="stopped")
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
            for index, values in optimizer.state_dict()["state"].items():
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
        for n, optimizer in enumerate(self.optimizers):
            values = {}
            for name, tensor in parts.get("optimizer", {}).items():
                number, index, key = name.split(".")
                if int(number) == n:
                    values.setdefault(int(index), {})[key] = tensor
            groups = optimizer.state_dict()["param_groups"]
            params = [p for group in optimizer.param_groups for p in group["params"]]
            for index, p in enumerate(params if start.step else []):
                if not all(t.shape in (p.shape, ()) for t in values[index].values()):
                    raise ValueError(f"optimizer state {n}.{index} is not of shape {p.shape}")
            optimizer.load_state_dict({"state": values, "param_groups": groups})

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
            parameters=sum(p.numel() for p in self.model.parameters()),
            device=self.device.type,
            precision=self.precision,
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
            block.compile()  # the same code in each, so it is compiled once
        self.stance = "default"
        try:
            self._loss(self.step).backward()
        except Exception as error:  # whatever is missing: real faults come again without compiling
            self.stance = "force_eager"
            reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
            self.notes.append(f"training without torch.compile, which failed here: {reason}")
        self.model.zero_grad()

    def _loss(self, step):
        config = self.config
        torch.manual_seed(fold_in(config.seed, step, 1))  # dropout, too, is a function of the step
        x, y = batch(
            self.train_ids, config.batch_size, self.model.config.block_size, config.seed, step
        )
        self.model.train()
        with torch.compiler.set_stance(self.stance), self._autocast():
            return self._cross_entropy(self.model, x, y)

    def _train_step(self):
        loss = self._loss(self.step)
        loss.backward()
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

    @torch.no_grad()
    def _evaluate(self):
        """Training loss over eval_iters random batches, validation loss over the whole split."""
        config, model = self.config, self._keep()
        T = model.config.block_size
        with self._autocast():
            # the same batches at every evaluation, none of them a batch that training sees
            draws = [
                batch(self.train_ids, config.batch_size, T, fold_in(config.seed, 2), i)
                for i in range(config.eval_iters)
            ]
            train = sum(self._cross_entropy(model, x, y).item() for x, y in draws) / len(draws)
            total = 0.0
            for x, y in windows(self.val_ids, T, max(1, 8192 // T)):
                total += self._cross_entropy(model, x, y).item() * y.numel()
        return {"train_loss": train, "val_loss": total / (len(self.val_ids) - 1)}

    @torch.no_grad()
    def _keep(self):
        """Bring `kept_model`, which is evaluated and saved, up to date: averaged, rounded."""
        weights = self.average if self.config.ema_decay else list(self.model.parameters())
        if self.config.store == "bf16":
            weights = [w.bfloat16() for w in weights]
        torch._foreach_copy_(list(self.kept_model.parameters()), weights)
        return self.kept_model.eval()

    def _cross_entropy(self, model, x, y):
        logits = model(x.to(self.device))
        return F.cross_entropy(logits.flatten(0, 1), y.to(self.device).flatten())

    def _autocast(self):
        if self.precision == "bf16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return contextlib.nullcontext()


def windows(ids, block_size, batch_size):
    """All of `ids` as (inputs, targets) batches of windows that neither overlap nor leave a gap.

    Every character but the first is a target once; the last window may be shorter.
    """
    n = (len(ids) - 1) // block_size * block_size
    inputs, targets = ids[:n].view(-1, block_size), ids[1 : n + 1].view(-1, block_size)
    yield from zip(inputs.split(batch_size), targets.split(batch_size), strict=True)
    if n < len(ids) - 1:
        yield ids[n:-1].unsqueeze(0), ids[n + 1 :].unsqueeze(0)


def choose_precision(wanted, device):
    """The precision asked for, and for "auto" the one that this hardware is made for."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    if device.type == "cpu":
        # a CPU without instructions for it emulates bf16, a hundred times slower
        able = getattr(torch.cpu, "get_capabilities", dict)()
        return "bf16" if able.get("avx512_bf16") or able.get("amx_bf16") else "fp32"
    return "fp32"
