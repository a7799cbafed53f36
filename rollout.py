"""Drive in a learned world: ``python rollout.py`` makes a minute's drive, ``--help`` tells the rest."""

from worldmodel.cli import rollout_main

if __name__ == "__main__":
    rollout_main()
