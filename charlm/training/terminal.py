"""The events of a run on the terminal: a progress bar and lines."""

import sys
import textwrap
import time

from tqdm import tqdm

from charlm.data.perplexity import unsure_between

PLAIN_LINES = 20  # progress lines of a run whose output is not a terminal
PLAIN_SECONDS = 10  # between progress lines of an evaluation there


class TerminalProgress:
    """Shows events: with a progress bar on a terminal, as plain lines elsewhere."""

    def __init__(self, trainer, directory):
        self.trainer, self.directory, self.steps = trainer, directory, trainer.config.steps
        self.evaluated_step = None

    def __enter__(self):
        print(f"training {self.directory}; Ctrl-C saves and ends", flush=True)
        self.bar = tqdm(
            total=self.steps,
            initial=self.trainer.step,
            desc="preparing",
            unit="step",
            disable=not sys.stderr.isatty(),
        )
        self.first = self.trainer.step, self.trainer.elapsed
        self.val_loss = None  # of the latest evaluation
        self.shown = time.monotonic()  # when the progress of an evaluation was printed last
        return self

    def __exit__(self, *_):
        self.bar.close()

    def show(self, event):
        getattr(self, f"show_{event.event}")(event)

    def show_start(self, event):
        self.first = event.step, event.time
        self.bar.set_description("training")
        self.print_line(
            f"{event.parameters:,} parameters, {event.data['name']}, {self.steps} steps on"
            f" {event.device} in {event.precision}{', compiled' if event.compiled else ''}"
        )
        for note in event.notes:
            self.print_line(note)

    def show_step(self, event):
        self.bar.set_postfix(loss=f"{event.loss:.3f}", refresh=False)
        self.bar.update(event.step - self.bar.n)
        interval = self.trainer.config.log_interval
        if self.bar.disable and event.step % max(interval, self.steps // PLAIN_LINES) < interval:
            step, elapsed = self.first
            left = (event.time - elapsed) / (event.step - step) * (self.steps - event.step)
            self.print_line(
                f"step {event.step}/{self.steps}: loss {event.loss:.4f},"
                f" {event.chars_per_second:,.0f} characters/s, {tqdm.format_interval(left)} left"
            )

    def show_evaluating(self, event):
        self.show_part(f"evaluating, {event.done / event.total:.0%}", event.step)

    def show_writing(self, event):
        self.show_part(f"the teachers write, {event.done / event.total:.0%}", event.step)

    def show_part(self, part, step):
        if not self.bar.disable:
            self.bar.set_description(part)
        elif time.monotonic() - self.shown > PLAIN_SECONDS:
            self.shown = time.monotonic()
            self.print_line(f"step {step}: {part}")

    def show_eval(self, event):
        self.evaluated_step, self.val_loss = event.step, event.val_loss
        self.bar.set_description("training")
        self.print_line(
            f"step {event.step}: train loss {event.train_loss:.4f}, val loss {event.val_loss:.4f}"
        )

    def show_sample(self, event):
        if event.step == self.evaluated_step:
            self.print_line("\n" + textwrap.indent(event.text.strip("\n"), "    ") + "\n")

    def show_snapshot(self, event):
        if event.message:
            self.print_line(f"warning: {event.message}")

    def show_save(self, event):
        self.bar.update(event.step - self.bar.n)

    def show_end(self, event):
        self.bar.close()
        if self.val_loss is not None:
            unsure = unsure_between(self.val_loss, self.trainer.model.config.vocab_size)
            self.print_line(f"val loss {self.val_loss:.4f}: {unsure}")
        seconds = tqdm.format_interval(event.time)
        line = f"{event.reason} at step {event.step} after {seconds}"
        line += f": {event.message}" if event.message else f"; the model is in {self.directory}"
        self.print_line(line)
        if event.reason == "stopped":
            self.print_line(f"continue with: python train.py --resume --name {self.directory.name}")

    def print_line(self, line):
        self.bar.write(line)
        sys.stdout.flush()
