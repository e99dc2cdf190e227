import torch
from small_models import make_model

from charlm.bench.lecture import LectureGPT, lecture_step
from charlm.config import TrainConfig
from charlm.models.gpt import GPT
from charlm.presets import PRESETS

V = 11


def test_it_has_as_many_weights_as_the_preset():
    config = PRESETS["gpt"].model
    expected = sum(p.numel() for p in GPT(config).parameters())
    assert sum(p.numel() for p in LectureGPT(config).parameters()) == expected


def test_it_computes_the_same_logits_as_a_gpt_with_the_same_weights():
    gpt = make_model("lecture", V)
    lecture = LectureGPT(gpt.config).eval()
    lecture.load_state_dict(lecture_weights(gpt))
    ids = torch.randint(V, (3, 12), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(lecture(ids), gpt(ids), rtol=1e-4, atol=1e-4)


def lecture_weights(gpt):
    """Return the GPT's weights with the names of the lecture's code, split into heads."""
    weights, H = {}, gpt.config.n_head
    for name, tensor in gpt.state_dict().items():
        name = name.replace("mixer.proj", "proj")
        name = name.replace("feed_forward.up", "feed_forward.0")
        name = name.replace("feed_forward.down", "feed_forward.2")
        block, mixer, layer = name.partition(".mixer.")
        if mixer:
            for head, rows in enumerate(tensor.chunk(H)):
                weights[f"{block}.heads.{head}.{layer}"] = rows
        else:
            weights[name] = tensor
    return weights


def test_its_steps_lower_the_loss():
    torch.manual_seed(0)
    model = LectureGPT(make_model("lecture", V).config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    ids = torch.arange(500) % V
    config = TrainConfig(batch_size=8)
    losses = [lecture_step(model, optimizer, ids, config, 16) for _ in range(60)]
    assert losses[-1] < losses[0] / 4
