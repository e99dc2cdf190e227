"""The facts with which the log of a run begins."""

import time
from dataclasses import asdict

from charlm.data.baselines import baselines
from charlm.rounding import rounding


def facts(trainer):
    """Return the fields of a Trainer's Start event, besides the step and the time."""
    model, teachers = trainer.model, trainer.teachers
    losses = baselines(trainer.train_ids, trainer.val_ids, model.config.vocab_size)
    config = {
        "kind": model.kind,
        "model": asdict(model.config),
        "training": asdict(trainer.config),
    }
    if teachers:
        config["distillation"] = teachers.distillation.to_json()
    if teachers and teachers.val_loss is not None:
        losses["teachers"] = teachers.val_loss
    return {
        "started": round(time.time()),
        "config": config,
        "data": {"name": trainer.corpus.name, "sha256": trainer.corpus.sha256},
        "baselines": losses,
        "parameters": sum(p.numel() for p in model.parameters()),
        "device": trainer.device.type,
        "precision": trainer.precision,
        "mkl_cbwr": rounding(),
        "compiled": trainer.compile_stance == "default",
        "notes": tuple(trainer.notes),
    }
