"""Train a world model: ``python train.py experiment=smoke``, ``--help`` tells the rest."""

from worldmodel.cli import train_main

if __name__ == "__main__":
    train_main()
