"""What a run is given: a folder of its own, the runs that it builds on, and losses of its own."""

import shutil
from dataclasses import replace

import pytest
import torch
from states import differing, ended

from t2i import config as configs
from t2i import losses
from t2i.errors import UserError
from t2i.metrics.evaluate import evaluate
from t2i.metrics.table import METRICS
from t2i.training import Run, fit
from t2i.training.objectives import AttnGan


class Hinge(AttnGan):
    """The whole of a new loss for one model."""

    def discriminator(self, d, real, fake, condition, wrong):
        real, fake = d.features(real), d.features(fake)
        logits = torch.stack([d.conditional(real, condition), d.unconditional(real)])
        made = torch.stack([d.conditional(fake, condition), d.unconditional(fake)])
        return losses.upcast((1 - logits).relu().mean() + (1 + made).relu().mean())


def test_a_run_has_a_folder_of_its_own(tiny_stages, tmp_path):
    own = tmp_path / "mine"
    run = fit(tiny_stages(steps=1), directory=own)
    assert run.directory == own and (own / "checkpoint.pt").exists() and not run.config.directory.exists()
    assert fit(tiny_stages(steps=2), directory=own).state["step"] == 2
    assert Run.load(own).config == tiny_stages(steps=2)


def test_a_run_reads_with_the_encoder_that_it_is_given(tiny_stages, damsm_folder, tmp_path):
    named = fit(tiny_stages(), directory=tmp_path / "named")
    config = replace(tiny_stages(), text_encoder="damsm")
    given = fit(config, directory=tmp_path / "given", given={"encoder": Run.load(damsm_folder)})
    assert differing(ended(named), ended(given)) == []
    assert given.config.text_encoder == str(damsm_folder)  # what it was made with stands in its settings
    assert fit(config, directory=tmp_path / "given").state["step"] == config.steps  # and the same call finds it again
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("runs")] == []


def test_a_gan_lends_the_encoders_it_was_trained_with(tiny_stages, tmp_path):
    lender = fit(tiny_stages(), directory=tmp_path / "lender")
    named = fit(replace(tiny_stages(), text_encoder=str(lender.directory)), directory=tmp_path / "named")
    assert differing(ended(named), ended(lender)) == []
    released = fit(tiny_stages(steps=1, text_encoder="released:attngan-aviary"), directory=tmp_path / "released")
    assert released.encoders.text_weights["embedding.weight"].shape[0] > 0
    assert released.config.text_encoder == "released:attngan-aviary"
    with pytest.raises(UserError, match="There is no released model called 'nothing'"):
        fit(tiny_stages(text_encoder="released:nothing"), directory=tmp_path / "none")


def test_what_a_run_does_not_build_on_is_refused(tiny_stages, damsm_folder, encoder_folder):
    encoder = Run.load(damsm_folder)
    with pytest.raises(UserError, match=r"builds on no stage1\. Give it encoder"):
        fit(tiny_stages(), given={"stage1": encoder})
    with pytest.raises(UserError, match="is a run of char-cnn-rnn, and attngan reads with damsm"):
        fit(tiny_stages(), given={"encoder": Run.load(encoder_folder)})
    gan = fit(tiny_stages())
    with pytest.raises(
        UserError, match="is a run of attngan, which reads with damsm, and gan-cls reads with char-cnn-rnn"
    ):
        fit(configs.load("gan-cls", "aviary", "smoke", root=tiny_stages().root), given={"encoder": gan})


def test_a_loss_of_one_s_own_is_one_class(tiny_stages, tmp_path):
    config = tiny_stages()
    usual = fit(config, directory=tmp_path / "usual")
    own = fit(config, directory=tmp_path / "own", objective=Hinge(config))
    assert own.state["objective"] == "Hinge" and differing(ended(usual), ended(own))
    longer = tiny_stages(steps=4)
    with pytest.raises(UserError, match=r"holds a run with other losses \(Hinge there and AttnGan here\)"):
        fit(longer, directory=tmp_path / "own")
    with pytest.raises(UserError, match="holds a run with other losses"):  # nor is a finished one taken for another
        fit(config, directory=tmp_path / "own")
    assert fit(longer, directory=tmp_path / "own", objective=Hinge(longer)).state["step"] == 4


def test_a_run_goes_on_where_its_data_went_and_not_on_other_data(tiny_stages, little_aviary, tmp_path):
    moved = shutil.copytree(little_aviary, tmp_path / "moved")
    fit(tiny_stages(steps=1))
    assert fit(tiny_stages(steps=2, root=str(moved))).state["step"] == 2
    file = next((moved / "text").rglob("*.txt"))
    file.write_text("a bird that nobody has seen\n")
    with pytest.raises(UserError, match="holds a run on other data"):
        fit(tiny_stages(steps=3, root=str(moved)))


def test_a_part_is_measured_and_the_folder_left_alone(finished, tiny_stages):
    run = finished(tiny_stages())
    record = evaluate(run, ["attributes"], write=False)
    asked = {column.key for column in METRICS["attributes"].columns}
    assert record["metrics"].keys() == asked | {"body_accuracy_shuffled"}
    assert not (run.directory / "result.json").exists()


def test_a_run_keeps_no_optimiser_and_no_other_device_in_memory(tiny_stages):
    run = fit(tiny_stages())
    for state in (run.state, Run.load(run.directory).state):
        assert "optimizers" not in state and state["seconds"] > 0
    assert ended(run)["optimizers"].keys() == {"generator", "discriminators"}


def test_attention_of_more_captions_than_a_batch_is_kept(finished, tiny_stages):
    run = finished(tiny_stages("attngan"))
    captions = ["a red bird", "this bird has a yellow belly and a short black bill"] * 3
    drawn = run.draw(captions, *run.noise(6, 0), batch_size=2)
    for stage in drawn.attention:
        assert stage.shape[:2] == (6, 11)
        torch.testing.assert_close(stage.sum(dim=1), torch.ones_like(stage[:, 0]))
