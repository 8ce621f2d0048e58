"""``compile``: the same step within rounding, no recompilation for every batch, and one sentence without a compiler."""

import pytest
import torch
from states import tensors

from t2i.errors import UserError
from t2i.models.initial import MultiTailStage
from t2i.text import TextFeatures
from t2i.text.damsm import WIDTH
from t2i.training import fit


@pytest.fixture
def eager_backend(monkeypatch):
    """torch.compile with the backend that captures graphs and runs them as they are: no C++ compiler, no minutes."""
    original = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **o: original(self, backend="aot_eager", **o))
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    yield torch._dynamo.utils.counters
    torch._dynamo.reset()


@pytest.mark.slow
def test_a_compiled_step_is_the_eager_one(tiny_stages, tmp_path, eager_backend):
    found = {}
    for flag in (False, True):
        run = fit(tiny_stages("mtwig-dm-gan", compile=flag, steps=1), directory=tmp_path / str(flag))
        found[flag] = tensors(run.state["networks"])
    assert eager_backend["stats"]["unique_graphs"] > 0
    for name, value in found[False].items():
        torch.testing.assert_close(found[True][name], value, rtol=1e-3, atol=1e-4, msg=name)


def test_captions_of_other_lengths_do_not_compile_the_tails_anew():
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    stage, graphs = MultiTailStage(4, 4, WIDTH, width=4, size=8, kernel=2), []
    stage.compile(backend="eager")
    for lengths in ([5, 5, 3], [6, 4, 4], [7, 2, 2], [9, 8, 3], [4, 4, 4], [8, 7, 6], [6, 5, 2]):
        mask = torch.arange(max(lengths)) >= torch.tensor(lengths)[:, None]
        text = TextFeatures(torch.randn(3, WIDTH, max(lengths)), torch.randn(3, WIDTH), mask)
        stage(torch.randn(3, 4), torch.randn(3, 4), text)
        graphs.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
    torch._dynamo.reset()
    assert graphs[0] > 0 and len(set(graphs[3:])) == 1, graphs  # once it knows which sizes change


def test_without_a_compiler_there_is_one_sentence(tiny_stages, monkeypatch):
    monkeypatch.setenv("CXX", "/nowhere/c++")
    torch._dynamo.reset()
    with pytest.raises(UserError, match=r"torch\.compile found no .*compiler.* Leave --compile out"):
        fit(tiny_stages(compile=True))
