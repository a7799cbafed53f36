"""The order of things: data, tokenizer, latent cache, dynamics, model. Each stage resumes where it was killed.

What a run leaves in its folder: ``tokenizer/`` and ``dynamics/`` (``last.ckpt`` to resume from, ``metrics.csv``),
``pictures/`` to look at, and the finished model's safetensors files.
"""

from __future__ import annotations

import functools
import random
import zlib
from pathlib import Path

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from numpy.typing import NDArray
from tqdm import tqdm

from worldmodel.dynamics.dynamics import Dynamics
from worldmodel.geometry.camera import canonical_camera
from worldmodel.model import Training, WorldModel, content_hash, load_tokenizer, save_tokenizer
from worldmodel.tokenizer.tokenizer import Tokenizer, to_network
from worldmodel.training.config import DataConfig, StageConfig, TrainConfig
from worldmodel.training.corpus import (
    DriveRecord,
    LatentClips,
    LatentDrive,
    batches_of,
    build_corpus,
    corpus_folder,
    random_clips,
    random_frames,
    split,
)
from worldmodel.training.pictures import Reconstructions, SampleDrives
from worldmodel.training.stages import DynamicsStage, Stage, TokenizerStage, freeze, loader, matmul_rate
from worldmodel.types import Clip


def run(config: TrainConfig) -> Path:
    """Train a world model and return the folder it was saved to.

    Raises:
        ValueError: settings that contradict each other, or data that cannot be trained on.
    """
    config.validate()
    if config.threads:
        torch.set_num_threads(config.threads)
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    drives = make_corpus(config)
    train, validation = split(drives, config.data.validation_share)
    tokenizer = train_tokenizer(config, train, validation)
    latents = [
        cache_latents(config, tokenizer, drive) for drive in tqdm(drives, "latents", disable=not config.progress)
    ]
    latents = dict(zip((drive.name for drive in drives), latents))
    dynamics = train_dynamics(config, tokenizer, train, validation, latents)
    seconds = sum(len(drive) for drive in train) / 10
    summary = {
        "tokenizer_steps": config.tokenizer_stage.steps,
        "tokenizer_batch": config.tokenizer_stage.batch,
        "dynamics_steps": config.dynamics_stage.steps,
        "dynamics_batch": config.dynamics_stage.batch,
        "hours_of_driving": round(seconds / 3600, 2),
        "torch": torch.__version__,
    }
    model = WorldModel(
        tokenizer,
        dynamics,
        dt_s=float(np.median([np.nanmedian(drive.dt_s) for drive in train])),
        camera_height_m=config.camera_height_m,
        training=Training(data=config.data.source, summary=summary),
    )
    model.save(out)
    print(f"saved {out}/tokenizer.safetensors and {out}/dynamics.safetensors")
    return out


def make_corpus(config: TrainConfig) -> list[DriveRecord]:
    """All drives of the run, rendered or decoded once and mapped into memory."""
    data, size = config.data, (config.tokenizer.height_px, config.tokenizer.width_px)
    if data.source == "reference":
        names = [f"drive_{data.first_seed + i:06d}" for i in range(data.drives)]
        folder = corpus_folder(data.cache, "reference", data.drive_s, sorted(data.options.items()), size)
        make = functools.partial(_reference_drive, data=data, size=size, camera_height_m=config.camera_height_m)
        what = f"rendering {data.drives} drives"
        return build_corpus(
            folder, names, make, processes=data.processes, progress=config.progress, what=what, in_memory=data.in_memory
        )
    from worldmodel.training.episodes import episode_names, read_episode

    drives = []
    for path in data.paths:
        folder = corpus_folder(data.cache, "episodes", str(Path(path).resolve()), size)
        make = functools.partial(read_episode, path=path, size=size)
        what = f"decoding {path}"
        drives += build_corpus(
            folder,
            episode_names(path),
            make,
            processes=data.processes,
            progress=config.progress,
            what=what,
            in_memory=data.in_memory,
        )
    return drives


def _reference_drive(name: str, *, data: DataConfig, size: tuple[int, int], camera_height_m: float) -> tuple[str, Clip]:
    """Render one drive of the reference world; runs in a worker process."""
    from worldmodel.reference.drive import render_drive
    from worldmodel.reference.options import draw_options

    seed = int(name.rsplit("_", 1)[1])
    rng = random.Random(zlib.crc32(name.encode()))
    fixed = {key: rng.choice(value) if isinstance(value, list) else value for key, value in data.options.items()}
    camera = canonical_camera(*size, height_m=camera_height_m)
    drive = render_drive(draw_options(seed, **fixed), round(data.drive_s * 10), camera=camera)
    return name, drive.clip()


def train_tokenizer(config: TrainConfig, train: list[DriveRecord], validation: list[DriveRecord]) -> Tokenizer:
    """The first stage; a finished tokenizer in the run's folder, or that of ``init``, is taken as it is."""
    out = Path(config.out)
    if (out / "tokenizer.safetensors").is_file():
        tokenizer = load_tokenizer(out)
        if tokenizer.config == config.tokenizer:
            return tokenizer
        raise ValueError(f"{out}/tokenizer.safetensors has another shape than this configuration; choose another out=")
    if config.init:
        network = WorldModel.from_pretrained(config.init).tokenizer.train().requires_grad_(True)
        if network.config != config.tokenizer:
            raise ValueError(f"init={config.init}: its tokenizer is {network.config}, configured is {config.tokenizer}")
    else:
        network = Tokenizer(config.tokenizer)
    if config.tokenizer_stage.steps:
        stage = TokenizerStage(config, network)

        def make(k: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
            return random_frames(train, config.tokenizer_stage.batch, seed=config.seed, k=k)

        fit(config, stage, make, config.tokenizer_stage, [Reconstructions(out / "pictures", validation)])
    save_tokenizer(network, out)
    # Read back, so that latents are those of the weights as they are shipped.
    return load_tokenizer(out)


def cache_latents(config: TrainConfig, tokenizer: Tokenizer, drive: DriveRecord) -> NDArray[np.float16]:
    """Latents ``(T, V, N, C)`` of a drive, from the cache where this very tokenizer has made them before."""
    key = f"latents_{content_hash(tokenizer)[:16]}"
    folder = Path(config.data.cache) / key
    path = folder / f"{drive.name}.npy"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        device = device_of(config)
        freeze(tokenizer).to(device)
        parts = []
        with torch.no_grad():
            for rows in batches_of(len(drive), 32):
                parts.append(tokenizer.encode(to_network(torch.from_numpy(drive.frames[rows]).to(device))).cpu().half())
        temporary = path.with_suffix(".partial")
        with open(temporary, "wb") as file:
            np.save(file, torch.cat(parts)[:, None].numpy())
        temporary.rename(path)
    return np.load(path)


def train_dynamics(
    config: TrainConfig,
    tokenizer: Tokenizer,
    train: list[DriveRecord],
    validation: list[DriveRecord],
    latents: dict[str, NDArray[np.float16]],
) -> Dynamics:
    """The second stage, on cached latents."""
    sample = np.concatenate([latents[drive.name][::10] for drive in train]).astype(np.float32)
    network = Dynamics(config.dynamics, tokens=config.tokenizer.tokens, channels=config.tokenizer.channels)
    network.latent_mean.copy_(torch.from_numpy(sample.mean(axis=(0, 1, 2))))
    network.latent_std.copy_(torch.from_numpy(sample.std(axis=(0, 1, 2)).clip(min=1e-3)))
    if config.init:
        network.load_state_dict(
            {
                name: tensor
                for name, tensor in WorldModel.from_pretrained(config.init).dynamics.state_dict().items()
                if not name.startswith("latent_m") and not name.startswith("latent_s")
            },
            strict=False,
        )
    clips = [LatentDrive(drive, latents[drive.name]) for drive in train]
    weights = {drive.name: token_weight(drive, config.tokenizer.latent_grid) for drive in train}

    def make(k: int) -> LatentClips:
        length, batch = clip_shape(config, k)
        return random_clips(clips, batch, length, token_weights=weights, seed=config.seed, k=k)

    stage = DynamicsStage(config, network)
    pictures = SampleDrives(Path(config.out) / "pictures", validation, freeze(tokenizer), config)
    fit(config, stage, make, config.dynamics_stage, [pictures])
    return network


def clip_shape(config: TrainConfig, k: int) -> tuple[int, int]:
    """Frames and clips of batch k: mostly short clips; every so often fewer long ones, of as many frames in all."""
    clips, batch = config.clips, config.dynamics_stage.batch
    if clips.long_every and k % clips.long_every == clips.long_every - 1:
        return clips.long, max(1, batch * clips.short // clips.long)
    return clips.short, batch


def token_weight(drive: DriveRecord, grid: tuple[int, int]) -> NDArray[np.float32]:
    """``(N,)`` share of each latent token's patch that the source camera saw."""
    rows, columns = grid
    height, width = drive.valid_mask.shape
    patches = drive.valid_mask.reshape(rows, height // rows, columns, width // columns)
    return patches.mean(axis=(1, 3)).astype(np.float32).ravel()


def fit(config: TrainConfig, stage: Stage, make: object, settings: StageConfig, callbacks: list) -> None:
    """Run one stage to its last step, resuming from its newest checkpoint."""
    folder = Path(config.out) / stage.name
    folder.mkdir(parents=True, exist_ok=True)
    stage.peak_flops = matmul_rate(torch.device(device_of(config)))
    last = folder / "last.ckpt"
    checkpoint = ModelCheckpoint(
        dirpath=folder, filename="last", every_n_train_steps=settings.checkpoint_every, enable_version_counter=False
    )
    trainer = lightning.Trainer(
        accelerator="gpu" if device_of(config) == "cuda" else "cpu",
        devices=1,
        precision=config.precision,
        max_steps=settings.steps,
        max_epochs=-1,
        gradient_clip_val=settings.clip_norm,
        log_every_n_steps=settings.log_every,
        logger=_logger(config, stage),
        callbacks=[checkpoint, *callbacks],
        enable_progress_bar=config.progress,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    if config.compile:
        stage.network.compile()
    # weights_only=False: a run reads back its own resume file, never anybody else's.
    resume = str(last) if last.is_file() else None
    trainer.fit(stage, loader(stage, make, settings.steps), ckpt_path=resume, weights_only=False)
    trainer.save_checkpoint(last)


def _logger(config: TrainConfig, stage: Stage) -> object:
    if config.logger == "wandb":
        import os

        from lightning.pytorch.loggers import WandbLogger

        os.environ.setdefault("WANDB_MODE", "offline")
        return WandbLogger(project="worldmodel", name=f"{config.name}-{stage.name}", save_dir=config.out)
    return CSVLogger(config.out, name=stage.name, version="")


def device_of(config: TrainConfig) -> str:
    """``cuda`` or ``cpu``."""
    if config.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return config.device
