"""The next-token baseline does what it says: codes come back, nothing sees what follows, the cache is the network."""

import dataclasses
import json

import numpy as np
import pytest
import torch

import benchmarks.next_token.__main__ as command
from benchmarks.next_token.drawing import DrawConfig, continue_drives, draw
from benchmarks.next_token.driving import drive
from benchmarks.next_token.fsq import FsqTokenizer, code_bits, discrete_config, parse_levels, vocabulary
from benchmarks.next_token.gpt import Cache, Gpt, GptConfig, matched, parameters_of
from benchmarks.next_token.stage import NextTokenStage
from tests.tiny import TOKENIZER, WINDOW, tiny_model
from worldmodel.datasets.windows import MemoryEpisode
from worldmodel.geometry.camera import canonical_camera
from worldmodel.nn.transformer import TransformerConfig
from worldmodel.tokenizer.tokenizer import to_frames, to_network
from worldmodel.types import VOCABULARY, Clip, EgoMotion, Tags

LEVELS = parse_levels("4,3/5")
SHAPE = GptConfig(width=32, depth=2, heads=2, feed_forward=64, window=3, tokens=4, vocabulary=vocabulary(LEVELS))


class KilledError(Exception):
    """Stands for a SIGKILL: nothing is cleaned up."""


def clip(seed: int, length: int = 26) -> Clip:
    rng = np.random.default_rng(seed)
    return Clip(
        frames=rng.integers(0, 256, (length, 32, 64, 3), dtype=np.uint8),
        t_s=np.arange(length, dtype=np.float64) / 10,
        motion=EgoMotion(rng.uniform(0, 20, length), np.where(np.arange(length) % 5, 0.1, np.nan)),
        tags=Tags.unknown((length,)),
        camera=canonical_camera(32, 64, height_m=1.4),
        valid_mask=np.ones((32, 64), dtype=bool),
    )


def tokenizer() -> FsqTokenizer:
    torch.manual_seed(0)
    network = FsqTokenizer(discrete_config(TOKENIZER, LEVELS), LEVELS)
    torch.nn.init.normal_(network.to_latent.weight, std=0.1)  # so that every level occurs
    return network.eval()


def network(shape: GptConfig = SHAPE) -> Gpt:
    torch.manual_seed(0)
    made = Gpt(shape)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)  # at 0.02 everything would hardly matter
    return made.eval()


def told(length: int, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    codes = torch.stack(
        [torch.randint(n, (batch, length, SHAPE.tokens), generator=generator) for n in SHAPE.vocabulary], dim=-1
    )
    motion = torch.randn(batch, length, 4, generator=generator)
    motion[:, 0] = torch.nan
    return codes, motion, torch.randint(3, (batch, length, len(VOCABULARY)), generator=generator)


def test_codes_and_quantised_latents_say_the_same():
    network = tokenizer()
    sizes = vocabulary(LEVELS)
    assert sizes == (12, 5)
    every = torch.cartesian_prod(*(torch.arange(n) for n in sizes))
    latents = network.latents(every)
    assert len(latents.unique(dim=0)) == 60
    assert latents.abs().max() < 1
    torch.testing.assert_close(network.quantise(latents), latents)
    assert torch.equal(network.codes(latents), every)
    edges = torch.tensor([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]])  # tanh reaches them where it is rounded
    assert network.codes(edges).tolist() == [[0, 0], [11, 4]]
    assert code_bits(4, LEVELS) == pytest.approx(4 * np.log2(60))


def test_encoding_gives_quantised_latents_and_gradients_pass_through_them():
    network = tokenizer()
    x = to_network(torch.from_numpy(clip(0).frames[:4]))
    latents = network.encode(x)
    torch.testing.assert_close(latents, network.latents(network.codes(latents)))
    assert len(network.codes(latents).flatten(0, 1).unique(dim=0)) > 4
    network.decode(latents).square().sum().backward()
    gradient = network.position_in.grad
    assert gradient is not None
    assert gradient.abs().sum() > 0


def test_levels_that_are_none_are_refused():
    for words in ("8,eight", "8,1", ""):
        with pytest.raises(ValueError, match="levels"):
            parse_levels(words)


def test_what_follows_changes_nothing_before():
    codes, motion, tags = told(length=5)
    gpt = network()
    before = gpt(codes, motion, tags)
    for frame, token in ((0, 0), (2, 1), (4, 3)):
        other = codes.clone()
        other[:, frame, token] = (other[:, frame, token] + 1) % torch.tensor(SHAPE.vocabulary)
        same = (gpt(other, motion, tags) == before).all(dim=-1)
        assert same[:, :frame].all()
        assert same[:, frame, : token + 1].all()  # what is known before a code does not know it
        assert not same[:, frame, token + 1 :].any()
    moved = motion.clone()
    moved[:, 3, 0] += 1
    same = (gpt(codes, moved, tags) == before).all(dim=-1)
    assert same[:, :3].all()
    assert not same[:, 3].any()  # a frame obeys the motion that leads to it
    assert not (gpt(codes, motion, tags).detach() == before.roll(1, dims=1)).all()


def test_a_later_part_of_a_code_depends_on_the_earlier_alone():
    codes, motion, tags = told(length=2)
    gpt = network()
    known = gpt(codes, motion, tags)
    other = codes.clone()
    other[..., 1] = (other[..., 1] + 1) % 5
    assert torch.equal(gpt.logits(known, codes, 1), gpt.logits(known, other, 1))
    other[..., 0] = (other[..., 0] + 1) % 12
    assert not torch.equal(gpt.logits(known, codes, 1), gpt.logits(known, other, 1))
    every = torch.arange(12).view(12, 1, 1, 1, 1).expand(12, 2, 2, SHAPE.tokens, 1)
    first = gpt.logits(known, codes, 0).log_softmax(dim=-1).movedim(-1, 0)
    second = torch.stack([gpt.logits(known, codes_of_12, 1).logsumexp(dim=-1) for codes_of_12 in every])
    joint = torch.stack([gpt.logits(known, one, 1) for one in every]) - second[..., None] + first[..., None]
    torch.testing.assert_close(joint.exp().sum(dim=(0, -1)), torch.ones(2, 2, SHAPE.tokens))


def test_the_cache_is_the_whole_clip_also_once_it_has_slid():
    codes, motion, tags = told(length=3 * SHAPE.window + 1)
    gpt = network()
    with torch.no_grad():
        whole = gpt(codes, motion, tags)
        cache, found = Cache(SHAPE, 2, like=whole), []
        for t in range(codes.shape[1]):
            cache.begin_frame()
            known = [gpt.step(gpt.embed_told(motion[:, t : t + 1], tags[:, t : t + 1])[:, 0], cache)]
            for n in range(SHAPE.tokens):
                known.append(gpt.step(gpt.embed_codes(codes[:, t : t + 1, n : n + 1], first=n)[:, 0], cache))
            found.append(torch.stack(known[:-1], dim=1))
    assert cache.length == SHAPE.window * SHAPE.frame_tokens
    torch.testing.assert_close(torch.stack(found, dim=1), whole, atol=2e-4, rtol=1e-4)


def test_a_frame_that_has_left_the_window_is_forgotten_but_for_what_its_followers_made_of_it():
    codes, motion, tags = told(length=SHAPE.window + 1)
    gpt = network(dataclasses.replace(SHAPE, depth=1))
    before = gpt(codes, motion, tags)
    codes[:, 0] = (codes[:, 0] + 1) % torch.tensor(SHAPE.vocabulary)
    after = gpt(codes, motion, tags)
    torch.testing.assert_close(after[:, -1], before[:, -1])
    assert not torch.allclose(after[:, -2], before[:, -2])


def test_drawing_goes_on_from_what_is_known_and_is_a_function_of_the_seed():
    codes, motion, tags = told(length=6)
    gpt = network()
    one, again, other = (
        continue_drives(gpt, codes[:, :2], motion, tags, DrawConfig(), seed=seed) for seed in (0, 0, 1)
    )
    assert one.shape == codes.shape
    assert torch.equal(one[:, :2], codes[:, :2])
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    greedy = continue_drives(gpt, codes[:, :2], motion, tags, DrawConfig(top_p=1e-6))
    with torch.no_grad():  # each code the likeliest, given those before it, of the whole network
        known = gpt(greedy, motion, tags)[:, 2:]
        for part in range(2):
            assert torch.equal(gpt.logits(known, greedy[:, 2:], part).argmax(dim=-1), greedy[:, 2:, :, part])


def test_top_p_leaves_the_likeliest():
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]])).expand(2000, 4)
    generator = torch.Generator().manual_seed(0)
    assert set(draw(logits, DrawConfig(top_p=0.7), generator).tolist()) == {0, 1}
    assert set(draw(logits, DrawConfig(), generator).tolist()) == {0, 1, 2, 3}
    cold = draw(logits, DrawConfig(temperature=0.5), generator).bincount() / 2000
    assert cold[0] == pytest.approx(0.25 / 0.365, abs=0.05)
    for wrong in (DrawConfig(temperature=0), DrawConfig(top_p=0), DrawConfig(top_p=1.1)):
        with pytest.raises(ValueError, match="expected"):
            wrong.validate()


def test_it_has_as_many_parameters_as_what_it_is_compared_with():
    nano = TransformerConfig()
    for target, levels in ((6_118_448, "8,8,8/5,5,5"), (6_126_640, "8,8,8,8"), (9_000_000, "8,8,8/8,8,8/8,8,8")):
        shape = matched(target, like=nano, tokens=32, vocabulary=vocabulary(parse_levels(levels)))
        assert abs(parameters_of(Gpt(shape)) - target) < 0.01 * target
        assert (shape.width, shape.heads, shape.window) == (nano.width, nano.heads, nano.window)
        assert 3 <= shape.feed_forward / shape.width <= 5
    with pytest.raises(ValueError, match="parameters"):
        matched(1_000_000, like=nano, tokens=32, vocabulary=(64_000,))


@pytest.fixture
def asked(tmp_path, monkeypatch):
    tiny_model().save(tmp_path / "model")
    experiment = tmp_path / "experiment.yaml"
    stage = "{steps: 2, batch: 2, log_every: 1}"
    experiment.write_text(
        f"precision: 32-true\nprogress: false\ndata: {{cache: {tmp_path / 'cache'}}}\n"
        f"clips: {{short: {WINDOW}, long: {3 * WINDOW}, long_every: 2}}\n"
        f"tokenizer_stage: {stage}\ndynamics_stage: {stage}\n"
    )
    stretches = [MemoryEpisode.of(clip(i), drive_id=f"drive{i}") for i in range(4)]
    monkeypatch.setattr(command, "load_sets", lambda config: {"made up": stretches})
    return [
        *("--against", str(tmp_path / "model"), "--experiment", str(experiment), "--levels", "4,3/5", "--drives", "0"),
        *("--learning-rates", "1e-3,3e-2", "--device", "cpu", "--out", str(tmp_path / "out")),
    ]


def test_two_steps_of_everything_and_a_second_call_takes_what_is_there(asked, tmp_path, capsys):
    command.main(asked)
    said, out = capsys.readouterr().out, tmp_path / "out"
    report = json.loads((out / "report.json").read_text())
    sizes = report["networks"]["parameters"]
    assert abs(sizes["next_token"] / sizes["compared"] - 1) < 0.05
    assert [about["learning_rate"] for about in report["networks"]["trained"]] == [1e-3, 3e-2]
    for about in report["networks"]["trained"]:
        assert about["steps"] == 2
        assert about["held_out_nats"] == min(nats for _, nats in about["curve"])
        assert 0 < about["held_out_nats"] < 2 * np.log(60)
    assert report["networks"]["tokens_seen"]["next_token"] == 2 * 2 * WINDOW * TOKENIZER.tokens
    assert "(taken)" in said
    assert "dB" in said
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    assert len(before) == 3
    assert not list(tmp_path.rglob("*partial*"))

    command.main(asked)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")} == before
    assert json.loads((out / "report.json").read_text()) == report
    with pytest.raises(ValueError, match="other settings"):
        command.main([*asked, "--dropout", "0.3"])


def test_killed_and_called_again_it_ends_where_it_would_have(asked, tmp_path, monkeypatch):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    words = [*asked[:-1], "unused", "--learning-rates", "1e-2", "--steps", "8", "--tokenizer-steps", "1"]
    command.main([*words, "--out", str(whole)])
    step = NextTokenStage.training_step

    def dying(self, batch, k):
        if self.global_step == 5:
            raise KilledError
        return step(self, batch, k)

    monkeypatch.setattr(NextTokenStage, "training_step", dying)
    with pytest.raises(KilledError):
        command.main([*words, "--out", str(killed)])
    monkeypatch.setattr(NextTokenStage, "training_step", step)
    command.main([*words, "--out", str(killed)])
    curves = [json.loads((out / "lr_0.01" / "held_out.json").read_text()) for out in (whole, killed)]
    assert len(curves[0]) > 4
    assert curves[0] == curves[1]
    assert json.loads((killed / "report.json").read_text()) == json.loads((whole / "report.json").read_text())


def test_drives_go_on_from_the_last_frame_that_is_shown():
    gpt = network(GptConfig(32, 1, 2, 64, WINDOW, TOKENIZER.tokens, vocabulary(LEVELS)))
    codec, clips = tokenizer(), [clip(7, length=9), clip(8, length=9)]
    frames = drive(gpt, codec, clips, DrawConfig(), context=5)
    assert frames.shape == (2, 5, 32, 64, 3)
    with torch.no_grad():
        shown = to_frames(codec.decode(codec.encode(to_network(torch.from_numpy(clips[1].frames[4:5])))))
    np.testing.assert_allclose(frames[1, 0].astype(int), shown[0].numpy(), atol=1)
